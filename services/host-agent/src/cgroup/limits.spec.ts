import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { cgroupMounts, cpuLimit, memorySoftLimit, sharesV1, weightV2 } from './limits.ts';

const service = (shares: number, limit: number | null = null) => ({ reservation: 0, shares, limit });

describe('limits', () => {
  it('keep shares in the kernel’s range and in order', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 1_000_000 }), fc.integer({ min: 1, max: 1_000_000 }), (a, b) => {
      const [low, high] = a < b ? [a, b] : [b, a];
      expect(sharesV1(service(low))).toBeGreaterThanOrEqual(2);
      expect(sharesV1(service(high))).toBeLessThanOrEqual(262_144);
      expect(sharesV1(service(low))).toBeLessThanOrEqual(sharesV1(service(high)));
      expect(weightV2(service(low))).toBeGreaterThanOrEqual(1);
      expect(weightV2(service(high))).toBeLessThanOrEqual(10_000);
    }));
  });

  it('turn MHz into processor time', () => {
    expect(cpuLimit(service(1000, 3_000), 2_000)).toEqual({ quotaUs: 150_000, periodUs: 100_000 });
    expect(cpuLimit(service(1000, 1), 4_000)).toEqual({ quotaUs: 1_000, periodUs: 100_000 });
    expect(cpuLimit(service(1000), 2_000)).toBeNull();
    expect(cpuLimit(service(1000, 100), 0)).toBeNull();
  });

  it('leave QEMU room beside the guest’s memory', () => {
    expect(memorySoftLimit({ memoryBytes: 1024 ** 3, memoryService: service(1000, 1024 ** 3) })).toBeGreaterThan(1024 ** 3);
    expect(memorySoftLimit({ memoryBytes: 1024 ** 3, memoryService: service(1000) })).toBeNull();
  });

  it('find the mounts of both versions', () => {
    const text = 'cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\ncgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n';
    expect(cgroupMounts(text)).toEqual({ v2: '/sys/fs/cgroup/unified', v1: { cpu: '/sys/fs/cgroup/cpu,cpuacct', memory: '/sys/fs/cgroup/memory' } });
    expect(cgroupMounts('tmpfs /tmp tmpfs rw 0 0\n')).toEqual({ v2: null, v1: {} });
  });
});
