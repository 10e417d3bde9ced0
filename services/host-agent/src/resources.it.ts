// Shares, limits and balloons of VMs that run: real QEMU, whose guest does nothing but count as fast as it can, the kernel's
// own cgroups, a real agent process, killed at named points. What the kernel gave is read from the processes' CPU time.
import { afterAll, afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HostDisk, ResourceService, hostStatus, hostVmAdjust } from '#contracts';
import type { HostVmSpec, HostVmStatus } from '#contracts';
import { newUuid, orThrow } from '#kernel';
import { until } from '#testing';
import { AgentLab, smallVm, uidOf } from './agent-lab.fixture.ts';

jest.setTimeout(180_000);

const MiB = 1024 * 1024;
const cgroup = `tok-it-resources-${process.pid}`;
const groupOf = (controller: 'cpu' | 'memory'): string => ['', 'unified/'].map((at) => `/sys/fs/cgroup/${at === '' ? `${controller}/` : at}${cgroup}`).find((path) => existsSync(path)) ?? '';

let lab: AgentLab;
beforeEach(async () => {
  lab = await AgentLab.open();
  lab.run.environment['TOK_TEST_CGROUP'] = cgroup;
});
afterEach(() => lab.close());
afterAll(async () => {
  for (const controller of ['cpu', 'memory'] as const) {
    const path = groupOf(controller);
    if (path === '') continue;
    for (const vm of readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory())) await removed(join(path, vm.name));
    await removed(path);
  }
});

/** A group is busy until the kernel has done with the processes that were in it. */
const removed = (group: string): Promise<true> => until(`${group} is empty`, () => {
  try {
    rmdirSync(group);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EBUSY') return false;
    throw error;
  }
});

/** A VM whose guest is a boot sector with one instruction: jump to itself. */
function busyVm(index: number, more: Partial<HostVmSpec> = {}): HostVmSpec {
  const volumeId = newUuid();
  const relativePath = `volumes/${volumeId}.raw`;
  mkdirSync(join(lab.dir, 'volumes'), { recursive: true, mode: 0o755 });
  const sector = Buffer.alloc(512);
  sector.set([0xeb, 0xfe]);
  sector.set([0x55, 0xaa], 510);
  writeFileSync(join(lab.dir, relativePath), Buffer.concat([sector, Buffer.alloc(MiB - 512)]));
  chownSync(join(lab.dir, relativePath), uidOf(index), uidOf(index));
  const disk = HostDisk.parse({ diskId: newUuid(), slot: 0, bus: 'virtio', readOnly: false, bootIndex: 1, place: { volumeId, datastoreId: newUuid(), datastorePath: lab.dir, relativePath, format: 'raw' } });
  return smallVm(index, { disks: [disk], ...more });
}
type Service = HostVmSpec['cpuService'];
const service = (of: object): Service => ResourceService.parse(of);

/** Starts them on one and the same processor, whatever else this machine has. */
async function startOnOneProcessor(...vms: HostVmSpec[]): Promise<HostVmStatus[]> {
  const started = await Promise.all(vms.map((vm) => lab.startVm(vm)));
  for (const { pid } of started) expect(spawnSync('taskset', ['-a', '-c', '-p', '0', String(pid)]).status).toBe(0);
  await Promise.all(started.map(({ pid }) => until('its firmware is done', () => cpuSeconds(pid!) > 1, 60_000)));
  return started;
}

/** CPU time of a process since its start, s. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** What each gets while all together get `seconds` of a processor. */
async function consumed(started: readonly HostVmStatus[], seconds: number): Promise<number[]> {
  const before = started.map(({ pid }) => cpuSeconds(pid!));
  const since = (): number[] => started.map(({ pid }, index) => cpuSeconds(pid!) - before[index]!);
  await until(`the guests use ${seconds} s of a processor`, () => since().reduce((a, b) => a + b, 0) >= seconds, 120_000);
  return since();
}

const limit = (vm: HostVmSpec, change: { cpuService?: Service; memoryService?: Service }, commandId: string = newUuid()) =>
  lab.ask(hostVmAdjust, { commandId, vmId: vm.vmId, epoch: 1, change: { kind: 'limits', cpuService: change.cpuService ?? vm.cpuService, memoryService: change.memoryService ?? vm.memoryService } });
const keptOf = (vm: HostVmSpec): HostVmSpec => (JSON.parse(readFileSync(join(lab.vmDir(vm.vmId), 'vm.json'), 'utf8')) as { spec: HostVmSpec }).spec;
const setting = (vm: HostVmSpec, v1: string, v2: string): string => {
  const group = join(groupOf('cpu'), vm.vmId);
  return readFileSync(join(group, existsSync(join(group, v1)) ? v1 : v2), 'utf8').trim();
};
const weightOf = (vm: HostVmSpec): number => Number(setting(vm, 'cpu.shares', 'cpu.weight'));

describe('two busy guests on one processor', () => {
  test('get it by their shares, 1 to 3, and from a change while they run on 1 to 1, also when the agent is away', async () => {
    await lab.start();
    const [one, three] = [busyVm(71, { cpuService: service({ shares: 1_000 }) }), busyVm(72, { cpuService: service({ shares: 3_000 }) })];
    const started = await startOnOneProcessor(one, three);
    const [a, b] = await consumed(started, 3);
    expect(b! / a!).toBeGreaterThan(2.7);
    expect(b! / a!).toBeLessThan(3.3);

    orThrow(await limit(three, { cpuService: service({ shares: 1_000 }) }));
    await lab.kill();
    const [c, d] = await consumed(started, 3);
    expect(d! / c!).toBeGreaterThan(0.9);
    expect(d! / c!).toBeLessThan(1.1);
  });

  test('one of them with a reservation gets it, although the other one has more shares', async () => {
    await lab.start();
    const processors = orThrow(await lab.ask(hostStatus, {})).inventory.cpu.logical;
    // Three quarters of what the host has are three quarters of every processor.
    const [reserved, other] = [busyVm(73, { cpuService: service({ shares: 100, reservation: 1_500 * processors }) }), busyVm(74, { cpuService: service({ shares: 10_000 }) })];
    const [a, b] = await consumed(await startOnOneProcessor(reserved, other), 3);
    expect(a! / (a! + b!)).toBeGreaterThan(0.675);
    expect(a! / (a! + b!)).toBeLessThan(0.825);
  });
});

test('a busy guest gets no more than its limit, and all that is there when the limit is taken away', async () => {
  await lab.start();
  const vm = busyVm(75, { cpuService: service({ limit: 500 }) }); // of 2,000 MHz: a quarter of a processor
  const { pid } = await lab.startVm(vm);
  await until('its firmware is done', () => cpuSeconds(pid!) > 0.5, 60_000);
  /** Part of a processor while it uses a second of one. */
  const part = async (): Promise<number> => {
    const [cpu, at] = [cpuSeconds(pid!), performance.now()];
    await until('a second of a processor is used', () => cpuSeconds(pid!) - cpu >= 1, 120_000);
    return ((cpuSeconds(pid!) - cpu) * 1000) / (performance.now() - at);
  };
  const most = 1.1; // a quota is given anew each tenth of a second, and is finer than that only in the mean
  expect(await part()).toBeLessThan(0.25 * most);
  orThrow(await limit(vm, { cpuService: service({ limit: 1_000 }) }));
  expect(await part()).toBeLessThan(0.5 * most);
  orThrow(await limit(vm, { cpuService: service({}) }));
  expect(setting(vm, 'cpu.cfs_quota_us', 'cpu.max')).toMatch(/^(-1|max 100000)$/);
  await until('it gets more than its limit was', async () => (await part()) > 0.5 * most, 120_000);
});

describe('a change of limits', () => {
  test('is kept for a later start, is the same when it is sent again, and is made right when somebody else writes into the group', async () => {
    await lab.start();
    const [vm, other] = [smallVm(76), smallVm(77)];
    await lab.startVm(other);
    await lab.startVm(vm);
    const commandId = newUuid();
    const change = { cpuService: service({ shares: 4_000, limit: 700, reservation: 100 }), memoryService: service({ limit: 128 * MiB }) };
    expect(orThrow(await limit(vm, change, commandId))).toMatchObject({ state: 'running', guest: 'not-asked' });
    expect(orThrow(await limit(vm, change, commandId))).toMatchObject({ state: 'running' });
    expect(orThrow(await limit(vm, change))).toMatchObject({ state: 'running' });
    expect(keptOf(vm)).toMatchObject(change);
    expect([weightOf(other), weightOf(vm)]).toEqual([1_000, 4_000]);

    await lab.kill();
    const group = join(groupOf('cpu'), vm.vmId);
    writeFileSync(join(group, existsSync(join(group, 'cpu.shares')) ? 'cpu.shares' : 'cpu.weight'), '77');
    await lab.start();
    expect(weightOf(vm)).toBe(4_000);
    writeFileSync(join(group, existsSync(join(group, 'cpu.shares')) ? 'cpu.shares' : 'cpu.weight'), '77');
    await until('the agent notices', () => weightOf(vm) === 4_000, 30_000);
  });

  test('whose agent ends when the document has it and the groups have not is made by the next one, or when it is sent again', async () => {
    await lab.start({ TOK_TEST_FAULT_POINT: 'vm.adjust:kept' });
    const [vm, other] = [smallVm(78), smallVm(79)];
    await lab.startVm(other);
    await lab.startVm(vm);
    const commandId = newUuid();
    const change = { cpuService: service({ shares: 2_500 }) };
    await limit(vm, change, commandId);
    await lab.ended();
    await lab.start();
    const again = await limit(vm, change, commandId);
    if (!again.ok) {
      expect(again.fault.code).toBe('COMMAND_RUNNING');
      orThrow(await limit(vm, change, commandId));
    }
    expect(weightOf(vm)).toBe(2_500);
    expect(keptOf(vm).cpuService.shares).toBe(2_500);
    expect(await lab.status(vm.vmId)).toMatchObject({ state: 'running' });
  });
});

test('a guest without a balloon driver is shown as such, keeps its memory whatever its limit, and nothing breaks', async () => {
  await lab.start();
  const vm = smallVm(80, { memoryBytes: 256 * MiB, memoryService: service({ limit: 128 * MiB, reservation: 96 * MiB }) });
  const reports = lab.reports('vm.changed');
  await lab.startVm(vm);
  const told = await until('it is told to have what its limit says', async () => {
    const { memory } = await lab.status(vm.vmId);
    return memory?.targetBytes === 128 * MiB ? memory : null;
  });
  expect(told).toEqual({ balloon: 'no-driver', actualBytes: 256 * MiB, targetBytes: 128 * MiB, availableBytes: null });
  await until('it is reported', () => reports.some(({ vm: seen }) => seen.vmId === vm.vmId && seen.memory?.targetBytes === 128 * MiB));
  orThrow(await limit(vm, { memoryService: service({ limit: 16 * MiB, reservation: 0 }) }));
  await until('the target is not below a quarter of its memory', async () => (await lab.status(vm.vmId)).memory?.targetBytes === 64 * MiB);
  await lab.powerOff(vm.vmId);
  expect((await lab.status(vm.vmId)).memory).toBeNull();
});

test('a host that is short of memory takes from nobody who cannot give', async () => {
  await lab.start({ TOK_HOST_MEMORY_KEPT: String(2 ** 48) });
  const vm = smallVm(81, { memoryBytes: 256 * MiB });
  await lab.startVm(vm);
  const memory = await until('its balloon has been looked at', async () => (await lab.status(vm.vmId)).memory);
  expect(memory).toMatchObject({ balloon: 'no-driver', actualBytes: 256 * MiB, targetBytes: 256 * MiB });
  expect(lab.log()).toContain('the host is short of memory');
});
