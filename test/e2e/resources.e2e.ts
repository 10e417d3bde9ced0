// CPU and memory as two guests get them that both want all of it: by shares, up to a limit, changed while they run; memory
// that a guest gives back and gets again; and what a cluster's ratios promise and what a reservation holds.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createVm, explainPlacement, getCluster, getDatastore, getHost, hibernateVm, listCapacity, modifyVm, startVm, updateCluster } from '#contracts';
import type { RequestOf, Vm } from '#contracts';
import { consumed, cpuSeconds, pinTo } from './cpu-time.ts';
import { eventually } from './eventually.ts';
import { inGuest } from './guest-shell.ts';
import { agentName, crash, startAgain, waitReady } from './lab.mjs';
import { booted, deploy, removeOwn, small, vmOf } from './vms.ts';
import { hostOf, MiB, openWorld } from './world.ts';
import type { World } from './world.ts';

const GiB = 1024 * MiB;
let world: World;
let vms: Vm[];
beforeAll(async () => {
  world = await openWorld('resources');
  const hostId = world.record.hosts[0]!.id;
  await eventually('the host sees the datastore, also in a pool that is seconds old', async () => {
    const { hosts } = await world.rest.ask(getDatastore, { datastoreId: world.record.datastore.id });
    return hosts.some((host) => host.hostId === hostId && host.connected);
  });
  vms = await Promise.all(['one', 'two'].map(async (name) => booted(world, await deploy(world, name, { hostId, memoryBytes: 192 * MiB }))));
}, 180_000);
afterAll(() => removeOwn(world));

const one = (): Vm => vms[0]!;
const two = (): Vm => vms[1]!;
const pidOf = async (vm: Vm): Promise<number> => (await vmOf(world, vm.id)).status.pid!;
const modify = (vm: Vm, change: Omit<RequestOf<typeof modifyVm>, 'vmId'>) => world.rest.carryOut(modifyVm, { vmId: vm.id, ...change });
const run = async (vm: Vm, line: string): Promise<string> => (await inGuest(world, vm, line, 60_000)).output;

describe('two busy guests on one processor', () => {
  beforeAll(async () => {
    for (const vm of vms) await run(vm, '(while :; do :; done) & echo $! > /run/busy');
    for (const vm of vms) pinTo(0, await pidOf(vm));
  }, 120_000);
  afterAll(async () => { for (const vm of vms) await run(vm, 'kill $(cat /run/busy)'); }, 120_000);

  it.each([[1_000, 3_000, 3], [2_000, 2_000, 1]])('with %d and %d shares get it in this ratio, from the moment that they are changed', async (first, second, ratio) => {
    await modify(one(), { cpuService: { shares: first } });
    const task = await modify(two(), { cpuService: { shares: second } });
    expect(task.output).toEqual({ pending: [] });
    expect(await vmOf(world, two().id)).toMatchObject({ pending: null, spec: { cpuService: { shares: second } } });
    const [a, b] = await consumed([await pidOf(one()), await pidOf(two())], 8);
    expect(b! / a! / ratio).toBeGreaterThan(0.9);
    expect(b! / a! / ratio).toBeLessThan(1.1);
  }, 150_000);

  it('of which one has a limit: it gets no more', async () => {
    const { inventory } = await world.rest.ask(getHost, { hostId: hostOf(world, one()).id });
    const pid = await pidOf(one());
    await modify(one(), { cpuService: { limit: Math.round(inventory!.cpu.mhz / 4) } });
    const [cpu, at] = [cpuSeconds(pid), performance.now()];
    await eventually('it uses two seconds of a processor', () => cpuSeconds(pid) - cpu >= 2, { withinMs: 60_000 });
    expect(((cpuSeconds(pid) - cpu) * 1000) / (performance.now() - at)).toBeLessThan(0.275);
    await modify(one(), { cpuService: { limit: null } });
  }, 90_000);
});

describe('a guest’s memory', () => {
  const memory = async (vm: Vm) => (await vmOf(world, vm.id)).status.memory;
  const settled = (vm: Vm, is: (bytes: number) => boolean, what: string) => eventually(`${vm.name} ${what}`, async () => {
    const now = await memory(vm);
    if (now?.balloon === 'settled' && is(now.actualBytes)) return now;
    throw new Error(JSON.stringify(now));
  }, { withinMs: 90_000, everyMs: 250 });
  /** What the guest's kernel says that it has. */
  const totalIn = async (vm: Vm): Promise<number> => Number(await run(vm, "awk '/MemTotal/ { print $2 }' /proc/meminfo")) * 1024;
  const near = (wanted: number) => (bytes: number): boolean => Math.abs(bytes - wanted) <= 2 * MiB;

  it('is what it was given, and its own word says what is still available', async () => {
    const now = await settled(one(), near(192 * MiB), 'has all its memory');
    expect(now.availableBytes).toBeGreaterThan(0);
    expect(now.availableBytes).toBeLessThan(192 * MiB);
  }, 100_000);

  it('shrinks to a limit, which the guest sees, also over a hibernation, and comes back', async () => {
    const before = await totalIn(one());
    await modify(one(), { memoryService: { limit: 144 * MiB } });
    expect(await settled(one(), near(144 * MiB), 'has shrunk')).toMatchObject({ targetBytes: 144 * MiB });
    expect(near(48 * MiB)(before - (await totalIn(one())))).toBe(true);
    await world.rest.carryOut(hibernateVm, { vmId: one().id });
    expect(await memory(one())).toBeNull();
    await world.rest.carryOut(startVm, { vmId: one().id, hostId: hostOf(world, one()).id });
    await settled(one(), near(144 * MiB), 'is as small as before');
    expect(near(48 * MiB)(before - (await totalIn(one())))).toBe(true);
    await modify(one(), { memoryService: { limit: null } });
    await settled(one(), near(192 * MiB), 'has its memory again');
    expect(await totalIn(one())).toBe(before);
  }, 240_000);

  it('is taken where the host is short of it, never below what is reserved, and given back', async () => {
    await modify(two(), { memoryService: { reservation: 160 * MiB } });
    const host = hostOf(world, two());
    const restart = async (more: Readonly<Record<string, string>>): Promise<void> => {
      await crash(world.lab, agentName(host.name));
      startAgain(world.lab, agentName(host.name), more);
      await waitReady(world.lab);
    };
    await restart({ TOK_HOST_MEMORY_KEPT: String(2 ** 48) });
    try {
      expect((await settled(two(), near(160 * MiB), 'has given back all but its reservation')).targetBytes).toBe(160 * MiB);
    } finally {
      await restart({});
    }
    await settled(two(), near(192 * MiB), 'has its memory again');
  }, 240_000);
});

describe('a cluster’s ratios', () => {
  const clusterId = () => world.record.cluster.id;
  const explain = (demand: { memoryBytes: number; memoryReservedBytes?: number; cpuReservedMhz?: number }) => world.rest.ask(explainPlacement, { clusterId: clusterId(), demand: { vcpus: 1, ...demand } });
  const reasons = async (demand: Parameters<typeof explain>[0]): Promise<string[]> => [...new Set((await explain(demand)).refusals.map(({ reason }) => reason))];
  const capacity = async () => (await world.rest.ask(listCapacity, {})).items;

  it('promise more memory than there is; a reservation is never more than there is', async () => {
    const { memoryOvercommit } = await world.rest.ask(getCluster, { clusterId: clusterId() });
    const [host] = await capacity();
    const large = Math.ceil((host!.memoryPhysicalBytes * 1.5) / MiB) * MiB;
    expect(await reasons({ memoryBytes: large })).toEqual(['memory']);
    await world.rest.ask(updateCluster, { clusterId: clusterId(), memoryOvercommit: 2 * memoryOvercommit });
    try {
      await eventually('the scheduler knows', async () => (await capacity()).every(({ memoryBytes }) => memoryBytes === 2 * memoryOvercommit * host!.memoryPhysicalBytes));
      expect(await reasons({ memoryBytes: large })).toEqual([]);
      expect(await reasons({ memoryBytes: large, memoryReservedBytes: large })).toEqual(['memory-reservation']);
    } finally {
      await world.rest.ask(updateCluster, { clusterId: clusterId(), memoryOvercommit });
    }
    expect(await reasons({ memoryBytes: GiB, cpuReservedMhz: host!.cpuMhz + 1 })).toEqual(['cpu-reservation']);
  });

  it('do not let a VM reserve what the host has not: neither a new one nor one that runs', async () => {
    const [{ cpuMhz } = { cpuMhz: 0 }] = await capacity();
    const refused = await world.rest.ended(await world.rest.ask(createVm, small(world, 'greedy', { cpuService: { reservation: cpuMhz + 1 }, nics: [] })));
    expect(refused).toMatchObject({ state: 'failed', error: { code: 'NO_CAPACITY', details: { refusals: [{ reason: 'cpu-reservation' }, {}, {}] } } });
    const before = (await vmOf(world, two().id)).spec.cpuService;
    const running = await world.rest.ended(await world.rest.ask(modifyVm, { vmId: two().id, cpuService: { reservation: cpuMhz + 1 } }));
    expect(running).toMatchObject({ state: 'failed', error: { code: 'NO_CAPACITY', details: { refusals: [{ reason: 'cpu-reservation', text: expect.stringContaining('MHz unreserved') }] } } });
    expect((await vmOf(world, two().id)).spec.cpuService).toEqual(before);
    await modify(two(), { cpuService: { reservation: 100 } });
    expect((await capacity()).map(({ cpuReservedMhz }) => cpuReservedMhz).sort((a, b) => a - b).at(-1)).toBe(100);
  }, 60_000);
});
