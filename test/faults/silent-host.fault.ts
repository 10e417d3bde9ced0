// A host that does not respond: nobody knows what runs there, so its VMs are unknown and nothing starts them elsewhere;
// when it responds again everything is as it was.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { deleteVm, explainPlacement, getHost, listLiveness, powerOffVm, rebootVm, startVm, stopVm } from '#contracts';
import type { Vm, VmState } from '#contracts';
import { eventually } from '../e2e/eventually.ts';
import { agentName, crash, cutHost, freeze, healHost, startAgain, thaw, waitReady } from '../e2e/lab.mjs';
import type { LabHost } from '../e2e/lab.mjs';
import { qemusOf } from '../e2e/qemu.ts';
import { answersPing, booted, countsOf, deploy, removeOwn, roomFor, vmOf } from '../e2e/vms.ts';
import { MiB, openWorld } from '../e2e/world.ts';
import type { World } from '../e2e/world.ts';

let world: World;
let stopped: Vm;

/** One of the two hosts that fall silent together, and its running VM. */
class Silent {
  running!: Vm;
  pid = 0;

  constructor(private readonly index: number) {}

  get home(): LabHost {
    return world.record.hosts[this.index]!;
  }

  get agent(): string {
    return agentName(this.home.name);
  }

  async deploy(): Promise<void> {
    this.running = await booted(world, await deploy(world, `running-${this.index}`, { hostId: this.home.id }));
  }

  async state(): Promise<string> {
    return (await world.rest.ask(getHost, { hostId: this.home.id })).state;
  }

  async vmIn(state: VmState): Promise<Vm | null> {
    const seen = await vmOf(world, this.running.id);
    return seen.status.state === state ? seen : null;
  }
}

const [one, other] = [new Silent(1), new Silent(2)];
beforeAll(async () => {
  world = await openWorld('silent');
  await roomFor(world, 3);
  [stopped] = await Promise.all([deploy(world, 'stopped', { start: false }), one.deploy(), other.deploy()]);
}, 120_000);
afterAll(async () => {
  await removeOwn(world);
}, 90_000);

/** How the host falls silent, and how it comes back. */
interface Silence {
  readonly how: string;
  readonly on: Silent;
  begin(): Promise<unknown>;
  end(): Promise<unknown>;
}
/** Two at a time, each on a host of its own: how long it takes until nobody believes in a host any more is waited for once. */
const silences: readonly (readonly [string, readonly Silence[]])[] = [
  ['stopped, and cut off', [
    { how: 'F2: the agent is stopped and continued', on: one, begin: async () => freeze(world.lab, one.agent), end: async () => thaw(world.lab, one.agent) },
    { how: 'F9: the host is cut from the bus and hears nothing', on: other, begin: () => cutHost(world.lab, other.home.name), end: () => healHost(world.lab, other.home.name) },
  ]],
  ['refused, and killed', [
    { how: 'F9: the host’s connections are refused', on: one, begin: () => cutHost(world.lab, one.home.name, { how: 'refuse' }), end: () => healHost(world.lab, one.home.name) },
    { how: 'F1: the agent is killed and stays away', on: other, begin: () => crash(world.lab, other.agent), end: async () => { startAgain(world.lab, other.agent); } },
  ]],
];

describe.each(silences)('%s', (_, both) => {
  beforeAll(async () => {
    for (const { on, begin } of both) {
      on.pid = (await qemusOf(world, on.running.id))[0]!.pid;
      await begin();
    }
    await eventually('both hosts are not responding', async () => (await Promise.all(both.map(({ on }) => on.state()))).every((state) => state === 'not-responding'), { withinMs: 30_000 });
  });

  describe.each(both)('$how', ({ on }) => {
    it('its VM is unknown, with the reason', async () => {
      const vm = await eventually('the VM is unknown', () => on.vmIn('unknown'));
      expect(vm.status).toMatchObject({ state: 'unknown', hostId: on.home.id, reason: expect.stringContaining('respond') });
      const liveness = (await world.rest.ask(listLiveness, {})).items.find((host) => host.hostId === on.home.id);
      expect(liveness).toMatchObject({ state: 'not-responding' });
    });

    it.each([startVm, stopVm, powerOffVm, rebootVm, deleteVm].map((operation) => [operation.name, operation] as const))('%s is refused: nobody knows whether it runs', async (__, operation) => {
      const force = operation === deleteVm ? { force: true } : {};
      expect(await world.rest.refusal(operation, { vmId: on.running.id, ...force })).toMatchObject({ status: 409, code: 'HOST_UNREACHABLE', fault: { details: { hostId: on.home.id } } });
    });

    it('takes no new VM, and the others do', async () => {
      const { candidates, refusals } = await world.rest.ask(explainPlacement, { clusterId: world.record.cluster.id, demand: { vcpus: 1, memoryBytes: 128 * MiB } });
      expect(candidates.map((host) => host.hostId)).not.toContain(on.home.id);
      expect(refusals).toContainEqual(expect.objectContaining({ hostId: on.home.id, reason: 'not-connected' }));
      await world.rest.carryOut(startVm, { vmId: stopped.id });
      expect((await vmOf(world, stopped.id)).status.hostId).not.toBe(on.home.id);
      await world.rest.carryOut(powerOffVm, { vmId: stopped.id });
    });

    it('the guest runs on, once, and nothing starts it elsewhere', async () => {
      const before = (await countsOf(world, on.running)).at(-1)!;
      await eventually('the guest counts on', async () => (await countsOf(world, on.running)).at(-1)!.n > before.n + 1, { withinMs: 20_000 });
      expect((await qemusOf(world, on.running.id)).map((qemu) => qemu.pid)).toEqual([on.pid]);
    });
  });

  describe('when they respond again', () => {
    beforeAll(async () => {
      await Promise.all(both.map(({ end }) => end()));
      await waitReady(world.lab);
    });

    it.each(both)('$how: everything heals', async ({ on }) => {
      await eventually('the host is connected', async () => (await on.state()) === 'connected');
      const vm = await eventually('the VM runs', () => on.vmIn('running'));
      expect(vm.status).toMatchObject({ pid: on.pid, hostId: on.home.id, reason: null, epoch: on.running.status.epoch });
      expect((await qemusOf(world, on.running.id)).map((qemu) => qemu.pid)).toEqual([on.pid]);
      await answersPing(world, vm);
    });
  });
});
