// The host: keeps one actor per VM, carries out what is no VM's, and knows when it has looked at its world. It takes no
// command before that, and nothing it does at start or stop touches a guest.
import type { HostInventory, HostVmSpec, HostVmStatus, ReplyOf, VmId, hostStatus, hostSwitchSurvey } from '#contracts';
import { HostCommandFailed, InvalidArgument, NicId, NotFoundOnHost, ShuttingDown } from '#contracts';
import type { Result } from '#kernel';
import { ok } from '#kernel';
import type { Progress, VolumeWork } from '../drivers.ts';
import type { AgentEnvironment } from '../environment.ts';
import { qemuProcesses } from '../vm/process-table.proc.ts';
import { VmActor } from '../vm/vm-actor.ts';
import type { VmReply } from '../vm/vm-actor.ts';
import { listVmDirectories, VmDirectory } from '../vm/vm-directory.store.ts';
import type { VmPaths } from '../vm/command-line.ts';
import { absentVm, statusOf } from '../vm/vm.ts';
import type { VmCommand } from '../vm/vm.ts';
import { noGuest } from '../vm/guest-watch.socket.ts';
import type { Ballooned } from '../balloon/balloons.process.ts';
import { unmanaged } from './adoption.ts';
import type { Unmanaged } from './adoption.ts';
import { isLasting, lastingCommands } from './host-commands.ts';
import type { HostWorld, LastingCommandName } from './host-commands.ts';
import { HostMemory } from './host-memory.store.ts';
import { Ledger } from './ledger.ts';

export interface HostHooks {
  onVmChange(status: HostVmStatus): void;
  onProgress(commandId: string, volumeId: string, progress: Progress): void;
  /** A VM has started or has other limits. */
  onSizes(): void;
  inventory(): Promise<HostInventory>;
}
export type HostStatus = ReplyOf<typeof hostStatus>;

export class HostActor {
  private readonly vms = new Map<string, Promise<VmActor>>();
  private readonly aborts = new Map<string, AbortController>();
  private readonly volumesAtWork = new Map<string, string>();
  private readonly world: HostWorld = { mayRun: () => this.mayRun(), holdsPorts: (vmId) => this.holdsPorts(vmId), strangers: () => this.unmanaged() };
  private looked = false;
  private stopping = false;

  private constructor(private readonly environment: AgentEnvironment, private readonly memory: HostMemory, private readonly ledger: Ledger, private readonly hooks: HostHooks) {}

  static async open(environment: AgentEnvironment, hooks: HostHooks): Promise<HostActor> {
    const memory = await HostMemory.open(environment.identity.hostDir, environment.log);
    return new HostActor(environment, memory, new Ledger(memory), hooks);
  }

  /** True once every VM has been looked at. */
  get ready(): boolean {
    return this.looked && !this.stopping;
  }

  get vmCount(): number {
    return this.vms.size;
  }

  /** Looks at directories and processes, takes up every VM, puts ports in order, settles what a crash left open. */
  async adopt(): Promise<void> {
    const { hostDir } = this.environment.identity;
    const seen = await qemuProcesses();
    const ids = await listVmDirectories(hostDir);
    const kept = (await Promise.all(ids.map((vmId) => this.finishDeletion(vmId)))).filter((vmId) => vmId !== null);
    await Promise.all(kept.map(async (vmId) => (await this.actorOf(vmId)).adopt(seen)));
    await Promise.all([this.restorePorts(), this.restoreGroups()]);
    this.settleOpenCommands();
    this.looked = true;
    this.environment.log.info({ vms: kept.length, qemus: seen.length }, 'the host has been looked at');
  }

  /** A tombstone beside a directory: the agent ended between writing the one and removing the other. */
  private async finishDeletion(vmId: string): Promise<string | null> {
    if (this.memory.deletedEpoch(vmId) === null) return vmId;
    await new VmDirectory(this.environment.identity.hostDir, vmId).remove();
    return null;
  }

  private async restorePorts(): Promise<void> {
    const running = (await this.mayRun()).map(({ vmId, uid, nics }) => ({ vmId, uid, nics }));
    const restored = await this.environment.drivers.switches.restore(running);
    if (!restored.ok) this.environment.log.error({ fault: restored.fault }, 'the ports of running VMs could not be restored');
  }

  /** Limits that an agent was setting when it died are set; what somebody else has set meanwhile is put right. */
  private async restoreGroups(): Promise<void> {
    await this.environment.drivers.cgroups.restore(await this.mayRun());
  }

  /** What the VMs were started with that run, as far as anybody knows. */
  private async mayRun(): Promise<HostVmSpec[]> {
    return (await this.actors()).flatMap((actor) => {
      const { pid, state } = actor.status();
      return actor.document !== null && (pid !== null || state === 'unknown') ? [actor.document.spec] : [];
    });
  }

  private settleOpenCommands(): void {
    for (const { commandId, name, input } of [...this.memory.book.intents.values()]) {
      if (!isLasting(name)) continue;
      const rowOf = lastingCommands[name];
      void this.ledger.recover({ commandId, name, input }, () => rowOf.happened(this.environment.drivers, input), () => this.work(commandId, name, input)).then((settled) => {
        if (!settled.ok && settled.fault.cause !== undefined) this.environment.log.error({ commandId, name, err: settled.fault.cause }, 'what became of a command cannot be seen');
      });
    }
  }

  async command(command: VmCommand & { readonly vmId: string }): Promise<Result<VmReply>> {
    if (!this.ready) return notReady();
    const { vmId, ...order } = command;
    const refused = this.refuseUid(order);
    if (refused) return refused;
    // Results of a VM that was deleted since are the host's.
    if (this.memory.book.results.has(order.commandId)) return (await this.ledger.run({ commandId: order.commandId, name: order.type, input: null }, neverRun)) as Result<VmReply>;
    const actor = await this.actorOf(vmId);
    const result = await actor.command(order);
    if (actor.disposable) this.vms.delete(vmId);
    if (order.type === 'vm.adjust' || order.type === 'vm.start') this.hooks.onSizes();
    return result;
  }

  /** A VM must not run as a user that means something else on this host. */
  private refuseUid(command: VmCommand): Result<never> | null {
    const { first, last } = this.environment.identity.vmUids;
    if (!('spec' in command) || (command.spec.uid >= first && command.spec.uid <= last)) return null;
    return InvalidArgument.fail(`VMs of this host run as users ${first} to ${last}, not ${command.spec.uid}.`, { issues: [{ path: 'spec.uid', message: `must be ${first} to ${last}` }] });
  }

  /** Keeps what VMs write bounded, and their groups as they were set. */
  async tidy(): Promise<void> {
    await Promise.all([this.environment.drivers.cgroups.hold(), ...(await this.actors()).map((actor) => actor.tidy())]);
  }

  /** For the balloons; none before the host has been looked at. */
  balloons(): Promise<readonly Ballooned[]> {
    return this.ready ? this.actors() : Promise.resolve([]);
  }

  async vmStatus(vmId: string): Promise<Result<HostVmStatus>> {
    if (!this.ready) return notReady();
    const actor = await this.vms.get(vmId);
    return ok(actor?.status() ?? statusOf({ ...absentVm(vmId), epoch: this.memory.deletedEpoch(vmId) ?? 0 }, { ...noGuest, memory: null }, null));
  }

  /** What is known of a VM, and where its QEMU listens. */
  async placeOf(vmId: string): Promise<Result<{ status: HostVmStatus; paths: VmPaths }>> {
    if (!this.ready) return notReady();
    const actor = await this.vms.get(vmId);
    return actor === undefined ? NotFoundOnHost.fail('The host does not know this VM.', { noun: 'vm', id: vmId }) : ok({ status: actor.status(), paths: actor.paths });
  }

  async lasting(name: LastingCommandName, commandId: string, input: unknown): Promise<Result<unknown>> {
    if (!this.ready) return notReady();
    return this.ledger.run({ commandId, name, input }, () => this.work(commandId, name, input));
  }

  private async work(commandId: string, name: LastingCommandName, input: unknown): Promise<Result<unknown>> {
    const rowOf = lastingCommands[name];
    const volumeId = rowOf.volumeOf(input);
    const other = volumeId === null ? undefined : this.volumesAtWork.get(volumeId);
    if (other !== undefined) return HostCommandFailed.fail(`The volume is being worked on by ${other}.`, { reason: 'the volume is being worked on' });
    const abort = new AbortController();
    this.aborts.set(commandId, abort);
    if (volumeId !== null) this.volumesAtWork.set(volumeId, commandId);
    try {
      return await rowOf.run(this.environment.drivers, input, this.volumeWork(commandId, volumeId, abort.signal), this.world);
    } finally {
      this.aborts.delete(commandId);
      if (volumeId !== null) this.volumesAtWork.delete(volumeId);
    }
  }

  volumeWork(commandId: string, volumeId: string | null, signal: AbortSignal): VolumeWork {
    return { signal, onProgress: (progress) => { if (volumeId !== null) this.hooks.onProgress(commandId, volumeId, progress); } };
  }

  /** Aborts the work of another command; its own answer says that it was cancelled. */
  abort(commandId: string): void {
    this.aborts.get(commandId)?.abort();
  }

  async confirm(commandIds: readonly string[]): Promise<Result<Record<string, never>>> {
    const mine = commandIds.filter((id) => this.memory.book.results.has(id));
    if (mine.length > 0) {
      const noted = await this.memory.append([{ type: 'forgotten', at: Date.now(), commandIds: mine }]);
      if (!noted.ok) return noted;
    }
    await Promise.all((await this.actors()).map((actor) => actor.confirm(commandIds)));
    return ok({});
  }

  async status(): Promise<HostStatus> {
    const [inventory, vms, others] = await Promise.all([this.hooks.inventory(), this.vmStatuses(), this.unmanaged()]);
    return { inventory, vms, unmanaged: others };
  }

  async vmStatuses(): Promise<HostVmStatus[]> {
    return (await this.actors()).map((actor) => actor.status()).filter(({ state }) => state !== 'absent');
  }

  async unmanaged(): Promise<Unmanaged[]> {
    const seen = await qemuProcesses();
    return unmanaged(seen, (await this.vmStatuses()).map(({ vmId, pid }) => ({ vmId, pid })));
  }

  /** The switches of the host; a port is somebody's while its VM is anything but at rest. */
  async surveySwitches(): Promise<Result<ReplyOf<typeof hostSwitchSurvey>>> {
    if (!this.ready) return notReady();
    const seen = await this.environment.drivers.switches.survey();
    if (!seen.ok) return seen;
    const ports = await Promise.all(seen.value.ports.map(async (port) => ({ ...port, owned: port.owned && (port.vmId === null || (await this.holdsPorts(port.vmId))) })));
    const running = new Set<string>((await this.mayRun()).map(({ vmId }) => vmId));
    const missing = seen.value.missing.filter(({ vmId }) => running.has(vmId)).map((one) => ({ ...one, vmId: one.vmId as VmId, nicId: NicId.parse(one.nicId) }));
    return ok({ switches: [...seen.value.switches], ports, missing });
  }

  private async holdsPorts(vmId: string): Promise<boolean> {
    const actor = await this.vms.get(vmId);
    return actor !== undefined && !atRest.has(actor.status().state);
  }

  /** Ends what is on its way and lets go of every process. */
  async stop(): Promise<void> {
    this.stopping = true;
    for (const abort of this.aborts.values()) abort.abort();
    await Promise.all((await this.actors()).map((actor) => actor.stop()));
    await this.environment.drivers.switches.stop();
    await this.memory.close();
  }

  private actors(): Promise<VmActor[]> {
    return Promise.all(this.vms.values());
  }

  private actorOf(vmId: string): Promise<VmActor> {
    const known = this.vms.get(vmId);
    if (known) return known;
    const opened = VmActor.open(this.environment, vmId, this.memory.deletedEpoch(vmId) ?? 0, {
      onChange: (status) => this.hooks.onVmChange(status),
      revive: (id) => (this.memory.deletedEpoch(id) === null ? Promise.resolve(ok(undefined)) : this.memory.append([{ type: 'revived', at: Date.now(), vmId: id }])),
      bury: (id, epoch, commandId, book) => {
        const at = Date.now();
        const others = [...book.results.values()].filter((result) => result.commandId !== commandId);
        return this.memory.append([...others, { type: 'result', at, commandId, name: 'vm.delete', outcome: { ok: true, value: {} } }, { type: 'tombstone', at, vmId: id, epoch }]);
      },
    });
    this.vms.set(vmId, opened);
    opened.catch(() => this.vms.delete(vmId)); // the caller gets the error; the next one tries again
    return opened;
  }
}

const atRest: ReadonlySet<string> = new Set(['absent', 'defined', 'stopped', 'failed'] satisfies HostVmStatus['state'][]);

const notReady = (): Result<never> => ShuttingDown.fail('The agent has not yet looked at its host, or is stopping.');
const neverRun = (): Promise<Result<unknown>> => Promise.reject(new Error('a recorded command was carried out again'));
