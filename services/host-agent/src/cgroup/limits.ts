// From the shares, reservations and limits of a host's VMs to what the kernel understands. Pure.
import type { HostVmSpec } from '#contracts';
import { shareOut } from '../share-out.ts';

export interface CpuLimit { readonly quotaUs: number; readonly periodUs: number }
type Service = HostVmSpec['cpuService'];

const periodUs = 100_000;
/** The kernel's smallest quota. */
const leastQuotaUs = 1_000;
const pageBytes = 4_096;

/** What the kernel takes as a weight: v1 `cpu.shares`, v2 `cpu.weight`. Only the ratio between VMs means anything: they alone are in the group. */
export interface WeightRange { readonly least: number; readonly most: number }
export const weightRanges = { v1: { least: 2, most: 262_144 }, v2: { least: 1, most: 10_000 } } as const satisfies Readonly<Record<string, WeightRange>>;

/** Smaller weights would lose more than a hundredth when they are rounded. */
const roundsWell = 100;

/**
 * How the VMs of a host weigh against each other when all want to run: as their shares say, and whoever would get less than
 * its reservation of the host's `capacityMhz` weighs more. The sum is that of the shares; a capacity of 0 is not known.
 */
export function weightsOf(services: readonly Pick<Service, 'shares' | 'reservation'>[], capacityMhz: number): number[] {
  const shares = services.map((service) => service.shares);
  if (capacityMhz <= 0 || services.every(({ reservation }) => reservation === 0)) return shares;
  const sum = shares.reduce((total, one) => total + one, 0);
  const parts = shareOut(capacityMhz, services.map((service) => ({ shares: service.shares, least: service.reservation, most: Infinity })));
  return parts.map((part) => (part / capacityMhz) * sum);
}

/**
 * Weights on the kernel's scale: as they are where it takes them without loss, else with the heaviest at its end of the
 * scale. A ratio wider than the scale (1 to 131,072 in v1, 1 to 10,000 in v2) is cut there.
 */
export function kernelWeights(weights: readonly number[], { least, most }: WeightRange): number[] {
  const [lightest, heaviest] = [Math.min(...weights), Math.max(...weights)];
  const factor = lightest >= roundsWell && heaviest <= most ? 1 : most / heaviest;
  return weights.map((weight) => Math.max(least, Math.min(most, Math.round(weight * factor))));
}

/** The limit in MHz as a share of processors of `hostMhz`; null = none. */
export function cpuLimit({ limit }: Service, hostMhz: number): CpuLimit | null {
  if (limit === null || hostMhz <= 0) return null;
  return { quotaUs: Math.max(leastQuotaUs, Math.round((limit / hostMhz) * periodUs)), periodUs };
}

/** What QEMU needs beside the guest's memory. */
const overheadBytes = (memoryBytes: number): number => 128 * 1024 * 1024 + Math.ceil(memoryBytes / 50);
const wholePages = (bytes: number): number => Math.ceil(bytes / pageBytes) * pageBytes;
type Memory = Pick<HostVmSpec, 'memoryBytes' | 'memoryService'>;

/**
 * Memory above which the kernel takes back what it can; null = none. It stands behind the balloon, which takes the same from
 * the inside. A soft limit: a hard one would kill the guest for what its user was promised.
 */
export function memorySoftLimit({ memoryBytes, memoryService: { limit } }: Memory): number | null {
  return limit === null ? null : wholePages(limit + overheadBytes(memoryBytes));
}

/** Memory that the kernel takes from others first; 0 = none. */
export const memoryProtected = ({ memoryBytes, memoryService: { reservation } }: Memory): number =>
  (reservation === 0 ? 0 : wholePages(reservation + overheadBytes(memoryBytes)));

/** A settings file below a group's directory and its text, as the kernel shows it again. */
export type Setting = readonly [file: string, text: string];
export interface Placed { readonly spec: HostVmSpec; readonly weight: number; readonly hostMhz: number }
export interface Settings {
  /** Of a VM's own group. */
  readonly own: (placed: Placed) => Setting[];
  /** Of the group of all VMs. */
  readonly all: (specs: readonly HostVmSpec[]) => Setting[];
}
type Controllers = Readonly<Record<'cpu' | 'memory', Settings>>;

export const settingsV1: Controllers = {
  cpu: {
    own: ({ spec, weight, hostMhz }) => {
      const limit = cpuLimit(spec.cpuService, hostMhz);
      return [['cpu.shares', String(weight)], ['cpu.cfs_period_us', String(periodUs)], ['cpu.cfs_quota_us', String(limit?.quotaUs ?? -1)]];
    },
    all: () => [],
  },
  memory: {
    // v1 knows no memory that is taken from others first: there a reservation is the balloon's floor and the scheduler's word.
    own: ({ spec }) => [['memory.soft_limit_in_bytes', String(memorySoftLimit(spec) ?? -1)]],
    all: () => [],
  },
};

export const settingsV2: Controllers = {
  cpu: {
    own: ({ spec, weight, hostMhz }) => {
      const limit = cpuLimit(spec.cpuService, hostMhz);
      return [['cpu.weight', String(weight)], ['cpu.max', `${limit?.quotaUs ?? 'max'} ${periodUs}`]];
    },
    all: () => [],
  },
  memory: {
    own: ({ spec }) => [['memory.high', String(memorySoftLimit(spec) ?? 'max')], ['memory.low', String(memoryProtected(spec))]],
    // A group protects no more than the group above it does.
    all: (specs) => [['memory.low', String(specs.reduce((sum, spec) => sum + memoryProtected(spec), 0))]],
  },
};

/** v1 shows "no limit" as the largest number of pages there is. */
const unlimited = 2 ** 60;
/** Whether a settings file says what it was told. */
export const says = (found: string, wanted: string): boolean => {
  const text = found.trim();
  return text === wanted || (wanted === '-1' && Number(text) > unlimited);
};

/** Mounts of cgroup file systems, from the text of /proc/self/mounts. */
export function cgroupMounts(text: string): { v2: string | null; v1: Partial<Record<'cpu' | 'memory', string>> } {
  const rows = text.split('\n').map((line) => line.split(' ')).map(([, path = '', type = '', options = '']) => ({ path, type, options: options.split(',') }));
  const v1Mount = (controller: string): string | undefined => rows.find((row) => row.type === 'cgroup' && row.options.includes(controller))?.path;
  const [cpu, memory] = [v1Mount('cpu'), v1Mount('memory')];
  return { v2: rows.find((row) => row.type === 'cgroup2')?.path ?? null, v1: { ...(cpu && { cpu }), ...(memory && { memory }) } };
}
