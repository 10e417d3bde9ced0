// From a VM's shares and limits to what the kernel understands. Pure.
import type { HostVmSpec } from '#contracts';

export interface CpuLimit { readonly quotaUs: number; readonly periodUs: number }
type Service = HostVmSpec['cpuService'];

const periodUs = 100_000;
/** The kernel's smallest quota. */
const leastQuotaUs = 1_000;
const v1 = { least: 2, most: 262_144 } as const;
const mostShares = 1_000_000;

/** cgroup v1 `cpu.shares`: the contract's 1 to 1,000,000 on the kernel's scale, ratios kept. */
export const sharesV1 = ({ shares }: Service): number => Math.min(v1.most, Math.max(v1.least, Math.round((shares / mostShares) * v1.most)));

/** cgroup v2 `cpu.weight` (1 to 10,000), by the conversion that container runtimes use. */
export const weightV2 = (service: Service): number => Math.round(1 + ((sharesV1(service) - v1.least) * 9_999) / (v1.most - v1.least));

/** The limit in MHz as a share of processors of `hostMhz`; null = none. */
export function cpuLimit({ limit }: Service, hostMhz: number): CpuLimit | null {
  if (limit === null || hostMhz <= 0) return null;
  return { quotaUs: Math.max(leastQuotaUs, Math.round((limit / hostMhz) * periodUs)), periodUs };
}

/** What QEMU needs beside the guest's memory. */
const overheadBytes = (memoryBytes: number): number => 128 * 1024 * 1024 + Math.ceil(memoryBytes / 50);

/**
 * Memory above which the kernel takes back what it can; null = none. A soft limit: a hard one would kill the guest
 * for what its user was promised.
 */
export function memorySoftLimit(spec: Pick<HostVmSpec, 'memoryBytes' | 'memoryService'>): number | null {
  const { limit } = spec.memoryService;
  return limit === null ? null : limit + overheadBytes(spec.memoryBytes);
}

/** A settings file below a group's directory and its text. */
export type Setting = readonly [file: string, text: string];

export const settingsV1: Readonly<Record<'cpu' | 'memory', (spec: HostVmSpec, hostMhz: number) => Setting[]>> = {
  cpu: (spec, hostMhz) => {
    const limit = cpuLimit(spec.cpuService, hostMhz);
    return [['cpu.shares', String(sharesV1(spec.cpuService))], ['cpu.cfs_period_us', String(periodUs)], ['cpu.cfs_quota_us', String(limit?.quotaUs ?? -1)]];
  },
  memory: (spec) => {
    const soft = memorySoftLimit(spec);
    return [['memory.soft_limit_in_bytes', String(soft ?? -1)]];
  },
};

export const settingsV2: Readonly<Record<'cpu' | 'memory', (spec: HostVmSpec, hostMhz: number) => Setting[]>> = {
  cpu: (spec, hostMhz) => {
    const limit = cpuLimit(spec.cpuService, hostMhz);
    return [['cpu.weight', String(weightV2(spec.cpuService))], ['cpu.max', `${limit?.quotaUs ?? 'max'} ${periodUs}`]];
  },
  memory: (spec) => [['memory.high', String(memorySoftLimit(spec) ?? 'max')]],
};

/** Mounts of cgroup file systems, from the text of /proc/self/mounts. */
export function cgroupMounts(text: string): { v2: string | null; v1: Partial<Record<'cpu' | 'memory', string>> } {
  const rows = text.split('\n').map((line) => line.split(' ')).map(([, path = '', type = '', options = '']) => ({ path, type, options: options.split(',') }));
  const v1Mount = (controller: string): string | undefined => rows.find((row) => row.type === 'cgroup' && row.options.includes(controller))?.path;
  const [cpu, memory] = [v1Mount('cpu'), v1Mount('memory')];
  return { v2: rows.find((row) => row.type === 'cgroup2')?.path ?? null, v1: { ...(cpu && { cpu }), ...(memory && { memory }) } };
}
