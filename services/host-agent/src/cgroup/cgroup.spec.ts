// The driver on a tree of plain files that looks like the kernel's: what it writes where, in v1 and v2 alike.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { HostVmSpec } from '#contracts';
import { newUuid, orThrow } from '#kernel';
import { createCgroupDriver } from './cgroup.driver.ts';
import type { HostCgroups } from './cgroup.driver.ts';

const MiB = 1024 ** 2;
let root: string;
beforeEach(() => { root = mkdtempSync(join(tmpdir(), 'tok-cgroup-')); });
afterEach(() => rmSync(root, { recursive: true, force: true }));

const vm = (cpuService: object, memoryService: object = {}): HostVmSpec => HostVmSpec.parse({
  vmId: newUuid(), name: 'vm', uid: 250_001, cpu: { sockets: 1, cores: 1, threads: 1 }, cpuService, memoryBytes: 256 * MiB, memoryService, firmware: 'bios', disks: [], nics: [],
});
const mounts = { v1: ['cpu', 'memory'], v2: [''] } as const;
type Version = keyof typeof mounts;

function driver(version: Version, more: { onProblem?: (reason: string) => void } = {}): Promise<HostCgroups> {
  for (const name of mounts[version]) mkdirSync(join(root, name), { recursive: true });
  if (version === 'v2') writeFileSync(join(root, 'cgroup.controllers'), 'cpuset cpu io memory pids\n');
  const lines = mounts[version].map((name) => `x ${join(root, name).replace(/\/$/, '')} ${version === 'v1' ? 'cgroup' : 'cgroup2'} rw,${name} 0 0\n`);
  writeFileSync(join(root, 'mounts'), lines.join(''));
  return createCgroupDriver({ name: 'tok', hostMhz: 2_000, processors: 2, mountsFile: join(root, 'mounts'), ...more });
}
const read = (...path: string[]): string => readFileSync(join(root, ...path), 'utf8');
const weight = (version: Version, { vmId }: HostVmSpec): number => Number(version === 'v1' ? read('cpu', 'tok', vmId, 'cpu.shares') : read('tok', vmId, 'cpu.weight'));
const quota = (version: Version, { vmId }: HostVmSpec): string => (version === 'v1' ? read('cpu', 'tok', vmId, 'cpu.cfs_quota_us') : read('tok', vmId, 'cpu.max'));

describe.each(['v1', 'v2'] as const)('in %s', (version) => {
  it('a VM’s group has its limits before QEMU enters it, and others on a live change', async () => {
    const groups = await driver(version);
    expect(groups.version).toBe(version);
    const one = vm({ shares: 1_000 });
    const two = vm({ shares: 3_000, limit: 1_000 });
    const [first] = await groups.prepare(one.vmId, one);
    expect(first).toBe(join(root, version === 'v1' ? 'cpu' : '', 'tok', one.vmId, 'cgroup.procs'));
    await groups.prepare(two.vmId, two);
    expect([weight(version, one), weight(version, two)]).toEqual([1_000, 3_000]);
    expect([quota(version, one), quota(version, two)]).toEqual(version === 'v1' ? ['-1', '50000'] : ['max 100000', '50000 100000']);
    orThrow(await groups.adjust(two.vmId, { ...two, cpuService: { ...two.cpuService, shares: 1_000, limit: null } }));
    expect([weight(version, one), weight(version, two)]).toEqual([1_000, 1_000]);
    expect(quota(version, two)).toBe(version === 'v1' ? '-1' : 'max 100000');
  });

  it('one VM’s reservation makes it weigh more, for as long as the other one runs', async () => {
    const groups = await driver(version);
    const reserved = vm({ shares: 1_000, reservation: 3_000 }); // of 4,000 MHz
    const other = vm({ shares: 1_000 });
    await groups.prepare(reserved.vmId, reserved);
    await groups.prepare(other.vmId, other);
    expect(weight(version, reserved) / weight(version, other)).toBeCloseTo(3, 1);
    orThrow(await groups.adjust(reserved.vmId, { ...reserved, cpuService: { ...reserved.cpuService, reservation: 0 } }));
    expect(weight(version, reserved) / weight(version, other)).toBe(1);
  });

  it('small shares keep their ratio too', async () => {
    const groups = await driver(version);
    const [one, three] = [vm({ shares: 1 }), vm({ shares: 3 })];
    for (const spec of [one, three]) await groups.prepare(spec.vmId, spec);
    expect(weight(version, three) / weight(version, one)).toBeCloseTo(3, 2);
  });

  it('an agent that comes back compares the groups with the documents, and puts right what differs', async () => {
    const before = await driver(version);
    const one = vm({ shares: 1_000 });
    await before.prepare(one.vmId, one);
    const after = await driver(version);
    const changed = { ...one, cpuService: { ...one.cpuService, shares: 4_000, limit: 500 } }; // what an agent had kept that died before it was set
    await after.restore([changed]);
    expect([weight(version, one), quota(version, one)]).toEqual([4_000, version === 'v1' ? '25000' : '25000 100000']);
    writeFileSync(join(root, version === 'v1' ? `cpu/tok/${one.vmId}/cpu.shares` : `tok/${one.vmId}/cpu.weight`), '7\n');
    await after.hold();
    expect(weight(version, one)).toBe(4_000);
  });

  it('what the kernel does not take is an answer, and the VM keeps what it had', async () => {
    const problems: string[] = [];
    const groups = await driver(version, { onProblem: (reason) => problems.push(reason) });
    const one = vm({ shares: 1_000 });
    const [procs] = await groups.prepare(one.vmId, one);
    const file = join(dirname(procs!), version === 'v1' ? 'cpu.cfs_quota_us' : 'cpu.max');
    rmSync(file);
    mkdirSync(file); // cannot be written
    const answer = await groups.adjust(one.vmId, { ...one, cpuService: { ...one.cpuService, limit: 500, shares: 2_000 } });
    expect(answer).toMatchObject({ ok: false, fault: { code: 'HOST_COMMAND_FAILED', details: { reason: expect.stringContaining(file) } } });
    expect(weight(version, one)).toBe(1_000);
    await groups.hold();
    expect(problems).toEqual([`${file}: EISDIR`]); // told once
  });
});

it('in v2 memory above the limit is taken back, and the reservation is protected, in the group of all as well', async () => {
  const groups = await driver('v2');
  const one = vm({}, { limit: 128 * MiB, reservation: 64 * MiB });
  await groups.prepare(one.vmId, one);
  const [high, low] = ['memory.high', 'memory.low'].map((file) => Number(read('tok', one.vmId, file)));
  expect([high! > 256 * MiB, low! > 192 * MiB, high! - low!]).toEqual([true, true, 64 * MiB]);
  expect(Number(read('tok', 'memory.low'))).toBe(low);
  expect(read('cgroup.subtree_control')).toBe('+cpu +memory');
});

it('where no controller is, nothing is written and VMs run all the same', async () => {
  writeFileSync(join(root, 'mounts'), 'tmpfs /tmp tmpfs rw 0 0\n');
  const groups = await createCgroupDriver({ name: 'tok', mountsFile: join(root, 'mounts') });
  expect([groups.version, groups.reason]).toEqual(['none', 'no cgroup file system with the cpu controller is mounted']);
  const one = vm({});
  expect(await groups.prepare(one.vmId, one)).toEqual([]);
  expect((await groups.adjust(one.vmId, one)).ok).toBe(true);
  await groups.release(one.vmId);
  expect(existsSync(join(root, 'tok'))).toBe(false);
});
