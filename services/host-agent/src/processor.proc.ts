// How fast the host's processors are, MHz: what a limit in MHz is a part of. One number that does not follow the load.
import { readFileSync } from 'node:fs';

const maxFrequency = '/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq';

/** The nominal clock: the highest one where the kernel governs it (kHz), else what the processor says of itself; 0 = unknown. */
export function parseMhz(maxKhz: string, cpuinfo: string): number {
  const governed = Number(maxKhz.trim());
  if (Number.isFinite(governed) && governed > 0) return Math.round(governed / 1000);
  return Math.round(Number(/^cpu MHz\s*:\s*([\d.]+)/m.exec(cpuinfo)?.[1] ?? 0));
}

const textOf = (file: string): string => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // not on this machine
  }
};

let known: number | undefined;
export const processorMhz = (): number => (known ??= parseMhz(textOf(maxFrequency), textOf('/proc/cpuinfo')));
