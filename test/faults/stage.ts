// What the tasks of a round work on. Rounds leave their objects to the next one: what one stopped the next one starts. So a
// round costs its tasks and little more; only what is missing is made.
import { createImage, createSwitch, createVm, createVolume, deleteSwitch, deleteVm, deleteVolume, hibernateVm, listImages, listSwitches, listVms, listVolumes, pauseVm, powerOffVm, restoreVm, startVm } from '#contracts';
import type { Operation, TaskRef, Vm } from '#contracts';
import { ownVms, removeOwn, unlessGone } from '../e2e/vms.ts';
import { MiB } from '../e2e/world.ts';
import type { World } from '../e2e/world.ts';
import { sendImage, tiny } from './kinds.ts';
import type { Begin, Pools, Row, Supply } from './kinds.ts';
import { endsOf } from './owners.ts';

/** So much is asked of the pool at the same time. */
const AT_ONCE = 8;
/** A crowded machine may be late with a QEMU: what could not be supplied is tried again so often. */
const TRIES = 3;

/** Like `Promise.all` over the items, so many at a time. */
export async function inTurns<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const left = items.entries();
  const take = async (): Promise<void> => {
    for (const [at, item] of left) results[at] = await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, take));
  return results;
}

const resting = ['stopped', 'running', 'paused', 'hibernated'] as const;
type Resting = (typeof resting)[number];
const isResting = (vm: Vm): boolean => resting.some((state) => state === vm.status.state) && vm.taskId === null;

export class Stage {
  private made = 0;

  constructor(private readonly world: World) {}

  /** A name that nothing else of this test has. */
  name(): string {
    this.made += 1;
    return `${this.world.prefix}-${this.made}`;
  }

  /** Brings together what these rows take, and answers how each of them is begun. */
  async supply(rows: readonly Row[]): Promise<Begin[]> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.trySupply(rows);
      } catch (error) {
        if (tries >= TRIES) throw error;
        process.stderr.write(`matrix: the stage is tried again: ${String(error).slice(0, 300)}\n`);
      }
    }
  }

  private async trySupply(rows: readonly Row[]): Promise<Begin[]> {
    const need = (takes: Supply): number => rows.filter((row) => row.takes === takes).length;
    const [vms, volume, image, upload, switches] = await Promise.all([this.vms(need), this.volumes(need('volume')), this.images(need('image')), this.uploads(need('upload')), this.switches(need('switch'))]);
    const pools: Pools = { nothing: Array.from({ length: need('nothing') }, () => null), ...vms, volume, image, upload, switch: switches };
    const picked = rows.map((row) => row.pick(pools));
    // What no disk or NIC is left on does not suit every row.
    const extra = await inTurns(picked.filter((begin) => begin === undefined), () => this.vm());
    pools.stopped.push(...extra);
    return picked.map((begin, at) => begin ?? rows[at]?.pick(pools) ?? noBegin());
  }

  /** Removes all of it. */
  async clear(): Promise<void> {
    await removeOwn(this.world);
    await Promise.all([
      inTurns(this.own(await this.world.rest.ask(listVolumes, { limit: 500, q: this.world.prefix })), ({ id }) => this.carryOut(deleteVolume, { volumeId: id })),
      inTurns(this.own(await this.world.rest.ask(listSwitches, { limit: 500 })), ({ id }) => this.carryOut(deleteSwitch, { switchId: id })),
    ]);
  }

  private async carryOut(operation: Operation, input: Readonly<Record<string, unknown>>): Promise<TaskRef> {
    return this.succeeded((await this.world.rest.ask(operation, input)) as TaskRef);
  }

  private async succeeded(ref: TaskRef): Promise<TaskRef> {
    const end = (await endsOf(this.world, [ref.taskId])).get(ref.taskId);
    if (end?.state !== 'succeeded') throw new Error(`the task ${ref.taskId} of ${ref.objectId}: ${JSON.stringify(end)}`);
    return ref;
  }

  private readonly own = <T extends { name: string }>({ items }: { items: T[] }): T[] => items.filter(({ name }) => name.startsWith(this.world.prefix));

  private async vm(): Promise<Vm> {
    const { record } = this.world;
    const ref = await this.carryOut(createVm, { ...tiny, name: this.name(), disks: [{ sizeBytes: 8 * MiB }], nics: [{ portGroupId: record.network.portGroupId }], start: false });
    return (await ownVms(this.world)).find(({ id }) => id === ref.objectId) ?? noBegin();
  }

  /** Enough VMs in each state: made, started, stopped, paused and put to sleep as it needs. */
  private async vms(need: (takes: Supply) => number): Promise<Record<Resting, Vm[]>> {
    const by = await this.byState();
    const short = (state: Resting): number => Math.max(0, need(state) - by[state].length);
    const toRun = need('running') + short('paused') + short('hibernated') - by.running.length;
    const stoppedShort = Math.max(0, need('stopped') + Math.max(0, toRun) - by.stopped.length);
    const off = Math.min(Math.max(0, -toRun), stoppedShort);
    const [made] = await Promise.all([inTurns(Array.from({ length: stoppedShort - off }), () => this.vm()), this.each(powerOffVm, by.running.slice(0, off))]);
    await this.each(startVm, [...by.stopped, ...made].slice(0, Math.max(0, toRun)));
    const { running } = await this.byState();
    await Promise.all([this.each(pauseVm, running.slice(0, short('paused'))), this.each(hibernateVm, running.slice(short('paused'), short('paused') + short('hibernated')))]);
    return this.byState();
  }

  private each(operation: Operation, vms: readonly Vm[]): Promise<unknown> {
    return inTurns(vms, ({ id }) => this.carryOut(operation, { vmId: id }));
  }

  /** VMs that rest, by their state; those of the bin are taken out of it, and what a round has left in any other state is removed. */
  private async byState(): Promise<Record<Resting, Vm[]>> {
    const { rest, prefix } = this.world;
    const binned = this.own(await rest.ask(listVms, { limit: 500, recycled: true, q: prefix }));
    await inTurns(binned, ({ id }) => rest.ask(restoreVm, { vmId: id }));
    const vms = await ownVms(this.world);
    await inTurns(vms.filter((vm) => !isResting(vm)), async (vm) => {
      if (vm.taskId !== null) await endsOf(this.world, [vm.taskId]);
      await this.carryOut(deleteVm, { vmId: vm.id, force: true, purge: true }).catch(unlessGone);
    });
    const of = (state: Resting): Vm[] => vms.filter((vm) => isResting(vm) && vm.status.state === state);
    return { stopped: of('stopped'), running: of('running'), paused: of('paused'), hibernated: of('hibernated') };
  }

  private async volumes(count: number): Promise<Pools['volume']> {
    const { rest, record, prefix } = this.world;
    const free = async (): Promise<Pools['volume']> => this.own(await rest.ask(listVolumes, { limit: 500, q: prefix })).filter(({ attachedTo, state, use }) => attachedTo === null && state === 'ready' && use === 'disk');
    const missing = count - (await free()).length;
    await inTurns(Array.from({ length: Math.max(0, missing) }), () => this.carryOut(createVolume, { name: this.name(), datastoreId: record.datastore.id, sizeBytes: MiB }));
    return free();
  }

  private async images(count: number): Promise<Pools['image']> {
    const { rest, prefix } = this.world;
    const ready = async (): Promise<Pools['image']> => this.own(await rest.ask(listImages, { limit: 500, q: prefix })).filter(({ state }) => state === 'ready');
    const missing = count - (await ready()).length;
    await inTurns(await this.uploads(missing), async ({ id }) => this.succeeded(await sendImage(rest, id)));
    return ready();
  }

  private uploads(count: number): Promise<Pools['upload']> {
    return inTurns(Array.from({ length: Math.max(0, count) }), () => this.world.rest.ask(createImage, { name: this.name(), format: 'raw' }));
  }

  private async switches(count: number): Promise<Pools['switch']> {
    const own = async (): Promise<Pools['switch']> => this.own(await this.world.rest.ask(listSwitches, { limit: 500 }));
    const missing = count - (await own()).length;
    await inTurns(Array.from({ length: Math.max(0, missing) }), () => this.carryOut(createSwitch, { name: this.name() }));
    return own();
  }
}

function noBegin(): never {
  throw new Error('the stage has nothing that this kind can work on');
}
