import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { HostVmSpec } from '#contracts';
import { newUuid } from '#kernel';
import { cgroupMounts, cpuLimit, kernelWeights, memoryProtected, memorySoftLimit, says, settingsV1, settingsV2, weightRanges, weightsOf } from './limits.ts';

const service = (shares: number, limit: number | null = null, reservation = 0) => ({ reservation, shares, limit });
const GiB = 1024 ** 3;

describe('weights', () => {
  it.each(['v1', 'v2'] as const)('keep the ratio of shares in %s, whatever their size', (version) => {
    const { least, most } = weightRanges[version];
    const share = fc.integer({ min: 1, max: 1_000_000 });
    fc.assert(fc.property(fc.array(share, { minLength: 1, maxLength: 8 }), (shares) => {
      const weights = kernelWeights(shares, weightRanges[version]);
      for (const [index, weight] of weights.entries()) {
        expect(weight).toBeGreaterThanOrEqual(least);
        expect(weight).toBeLessThanOrEqual(most);
        const [heaviest, ratio] = [Math.max(...shares), Math.max(...weights) / weight];
        const wanted = heaviest / shares[index]!;
        // A weight that is large enough is rounded by less than a hundredth.
        if (weight >= 100) expect(Math.abs(ratio / wanted - 1)).toBeLessThan(0.011);
        else expect(ratio).toBeLessThanOrEqual(wanted * 1.5 + 1);
      }
    }));
  });

  it.each<[number[], number[], number[]]>([
    [[1_000, 3_000], [1_000, 3_000], [1_000, 3_000]],
    [[1, 3], [87_381, 262_144], [3_333, 10_000]],
    [[1_000], [1_000], [1_000]],
    [[1_000, 300_000], [874, 262_144], [33, 10_000]],
    [[1, 1_000_000], [2, 262_144], [1, 10_000]],
  ])('%j are %j in v1 and %j in v2', (shares, v1, v2) => {
    expect(kernelWeights(shares, weightRanges.v1)).toEqual(v1);
    expect(kernelWeights(shares, weightRanges.v2)).toEqual(v2);
  });

  it('are the shares where every reservation is met by them anyway', () => {
    expect(weightsOf([service(1_000), service(3_000)], 4_000)).toEqual([1_000, 3_000]);
    expect(weightsOf([service(1_000, null, 900), service(3_000, null, 100)], 4_000).map(Math.round)).toEqual([1_000, 3_000]);
    expect(weightsOf([service(1_000, null, 2_000), service(3_000)], 0)).toEqual([1_000, 3_000]);
  });

  it('give whoever would get less than its reservation just that, and keep the ratio of the others', () => {
    const weights = weightsOf([service(1_000, null, 2_000), service(1_000), service(2_000)], 4_000);
    const sum = weights.reduce((a, b) => a + b, 0);
    expect(weights.map((weight) => Math.round((weight / sum) * 4_000))).toEqual([2_000, 667, 1_333]);
  });
});

describe('limits', () => {
  it('turn MHz into processor time', () => {
    expect(cpuLimit(service(1000, 3_000), 2_000)).toEqual({ quotaUs: 150_000, periodUs: 100_000 });
    expect(cpuLimit(service(1000, 1), 4_000)).toEqual({ quotaUs: 1_000, periodUs: 100_000 });
    expect(cpuLimit(service(1000), 2_000)).toBeNull();
    expect(cpuLimit(service(1000, 100), 0)).toBeNull();
  });

  it('leave QEMU room beside the guest’s memory, in whole pages', () => {
    const limited = memorySoftLimit({ memoryBytes: GiB, memoryService: service(1000, GiB - 7) })!;
    expect(limited).toBeGreaterThan(GiB);
    expect(limited % 4_096).toBe(0);
    expect(memorySoftLimit({ memoryBytes: GiB, memoryService: service(1000) })).toBeNull();
    expect(memoryProtected({ memoryBytes: GiB, memoryService: service(1000) })).toBe(0);
    expect(memoryProtected({ memoryBytes: GiB, memoryService: service(1000, null, GiB / 2) })).toBeGreaterThan(GiB / 2);
  });

  const spec = HostVmSpec.parse({
    vmId: newUuid(), name: 'vm', uid: 250_001, cpu: { sockets: 1, cores: 2, threads: 1 }, cpuService: { shares: 2_000, limit: 3_000 }, memoryBytes: GiB / 4,
    memoryService: { limit: GiB / 8, reservation: GiB / 16 }, firmware: 'bios', disks: [], nics: [],
  });
  const soft = String(GiB / 8 + 128 * 1024 ** 2 + Math.ceil(GiB / 4 / 50 / 4096) * 4096);
  const kept = GiB / 16 + 128 * 1024 ** 2 + Math.ceil(GiB / 4 / 50 / 4096) * 4096;
  const placed = { spec, weight: 2_000, hostMhz: 2_000 };
  it('are these files in v1', () => {
    expect(settingsV1.cpu.own(placed)).toEqual([['cpu.shares', '2000'], ['cpu.cfs_period_us', '100000'], ['cpu.cfs_quota_us', '150000']]);
    expect(settingsV1.memory.own(placed)).toEqual([['memory.soft_limit_in_bytes', soft]]);
    expect([settingsV1.cpu.all([spec]), settingsV1.memory.all([spec])]).toEqual([[], []]);
  });
  it('are these files in v2, where the group of all protects what its VMs do', () => {
    expect(settingsV2.cpu.own(placed)).toEqual([['cpu.weight', '2000'], ['cpu.max', '150000 100000']]);
    expect(settingsV2.memory.own(placed)).toEqual([['memory.high', soft], ['memory.low', String(kept)]]);
    expect(settingsV2.memory.all([spec, spec])).toEqual([['memory.low', String(2 * kept)]]);
  });

  it('are read back as they were written', () => {
    expect(says('150000\n', '150000')).toBe(true);
    expect(says('9223372036854771712\n', '-1')).toBe(true);
    expect(says('100000\n', '-1')).toBe(false);
    expect(says('', '100')).toBe(false);
  });

  it('find the mounts of both versions', () => {
    const text = 'cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\ncgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n';
    expect(cgroupMounts(text)).toEqual({ v2: '/sys/fs/cgroup/unified', v1: { cpu: '/sys/fs/cgroup/cpu,cpuacct', memory: '/sys/fs/cgroup/memory' } });
    expect(cgroupMounts('tmpfs /tmp tmpfs rw 0 0\n')).toEqual({ v2: null, v1: {} });
  });
});
