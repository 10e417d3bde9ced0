// A host that does not respond: nobody knows what runs there, so its VMs are unknown and nothing starts them elsewhere;
// when it responds again everything is as it was.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { deleteVm, explainPlacement, getHost, listLiveness, powerOffVm, rebootVm, startVm, stopVm } from '#contracts';
import type { Vm, VmState } from '#contracts';
import { eventually } from '../e2e/eventually.ts';
import { agentName, crash, cutHost, freeze, healHost, startAgain, thaw, waitReady } from '../e2e/lab.mjs';
import type { LabHost } from '../e2e/lab.mjs';
import { qemusOf } from '../e2e/qemu.ts';
import { answersPing, booted, countsOf, deploy, removeOwn, vmOf } from '../e2e/vms.ts';
import { MiB, openWorld } from '../e2e/world.ts';
import type { World } from '../e2e/world.ts';

let world: World;
let running: Vm;
let stopped: Vm;
const home = (): LabHost => world.record.hosts[1]!;

beforeAll(async () => {
  world = await openWorld('silent');
  const [a, b] = await Promise.all([deploy(world, 'running', { hostId: home().id }), deploy(world, 'stopped', { start: false })]);
  [running, stopped] = [await booted(world, a), b];
}, 120_000);
afterAll(async () => {
  await removeOwn(world);
}, 90_000);

const hostState = async (): Promise<string> => (await world.rest.ask(getHost, { hostId: home().id })).state;

async function vmIn(state: VmState): Promise<Vm | null> {
  const seen = await vmOf(world, running.id);
  return seen.status.state === state ? seen : null;
}

/** How the host falls silent, and how it comes back. */
const silences: readonly (readonly [string, () => Promise<void>, () => Promise<void>])[] = [
  ['F2: the agent is stopped and continued', async () => { freeze(world.lab, agentName(home().name)); }, async () => { thaw(world.lab, agentName(home().name)); }],
  ['F9: the host is cut from the bus and hears nothing', () => cutHost(world.lab, home().name), () => healHost(world.lab, home().name)],
  ['F9: the host’s connections are refused', () => cutHost(world.lab, home().name, { how: 'refuse' }), () => healHost(world.lab, home().name)],
  ['F1: the agent is killed and stays away', () => crash(world.lab, agentName(home().name)), async () => { startAgain(world.lab, agentName(home().name)); }],
];

describe.each(silences)('%s', (_, begin, end) => {
  let pid: number;

  beforeAll(async () => {
    pid = (await qemusOf(world, running.id))[0]!.pid;
    await begin();
    await eventually('the host is not responding', async () => (await hostState()) === 'not-responding', { withinMs: 25_000 });
  });

  it('its VM is unknown, with the reason', async () => {
    const vm = await eventually('the VM is unknown', () => vmIn('unknown'));
    expect(vm.status).toMatchObject({ state: 'unknown', hostId: home().id, reason: expect.stringContaining('respond') });
    const liveness = (await world.rest.ask(listLiveness, {})).items.find((one) => one.hostId === home().id);
    expect(liveness).toMatchObject({ state: 'not-responding' });
  });

  it.each([startVm, stopVm, powerOffVm, rebootVm, deleteVm].map((operation) => [operation.name, operation] as const))('%s is refused: nobody knows whether it runs', async (__, operation) => {
    const force = operation === deleteVm ? { force: true } : {};
    expect(await world.rest.refusal(operation, { vmId: running.id, ...force })).toMatchObject({ status: 409, code: 'HOST_UNREACHABLE', fault: { details: { hostId: home().id } } });
  });

  it('takes no new VM, and the others do', async () => {
    const { candidates, refusals } = await world.rest.ask(explainPlacement, { clusterId: world.record.cluster.id, demand: { vcpus: 1, memoryBytes: 128 * MiB } });
    expect(candidates.map((host) => host.hostId)).not.toContain(home().id);
    expect(refusals).toMatchObject([{ hostId: home().id, reason: 'not-connected' }]);
    await world.rest.carryOut(startVm, { vmId: stopped.id });
    expect((await vmOf(world, stopped.id)).status.hostId).not.toBe(home().id);
    await world.rest.carryOut(powerOffVm, { vmId: stopped.id });
  });

  it('the guest runs on, once, and nothing starts it elsewhere', async () => {
    const before = (await countsOf(world, running)).at(-1)!;
    await eventually('the guest counts on', async () => (await countsOf(world, running)).at(-1)!.n > before.n + 1, { withinMs: 20_000 });
    expect((await qemusOf(world, running.id)).map((qemu) => qemu.pid)).toEqual([pid]);
  });

  it('everything heals when it responds again', async () => {
    await end();
    await waitReady(world.lab);
    await eventually('the host is connected', async () => (await hostState()) === 'connected');
    const vm = await eventually('the VM runs', () => vmIn('running'));
    expect(vm.status).toMatchObject({ pid, hostId: home().id, reason: null, epoch: running.status.epoch });
    expect((await qemusOf(world, running.id)).map((qemu) => qemu.pid)).toEqual([pid]);
    await answersPing(world, vm);
  });
});
