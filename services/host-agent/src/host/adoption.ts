// Which of the QEMU processes on this host are VMs of ours, and which are somebody else's and left alone.
import type { UnmanagedVm } from '#contracts';
import type { z } from 'zod';

export type Unmanaged = z.infer<typeof UnmanagedVm>;
export interface QemuSeen { readonly pid: number; readonly startTicks?: number; readonly argv: readonly string[] }

const longestCommandLine = 4_000;

/** The value behind an option. */
export function optionOf(argv: readonly string[], option: string): string | null {
  const at = argv.indexOf(option);
  return at < 0 ? null : argv[at + 1] ?? null;
}

/** Every process that is neither the process of a VM that the host keeps, nor about to become one. */
export function unmanaged(seen: readonly QemuSeen[], managed: readonly { readonly vmId: string; readonly pid: number | null }[]): Unmanaged[] {
  const pids = new Map(managed.map(({ vmId, pid }) => [vmId, pid]));
  const isOurs = ({ pid, argv }: QemuSeen): boolean => {
    const uuid = optionOf(argv, '-uuid');
    if (uuid === null || !pids.has(uuid)) return false;
    // A second process with a VM's id is not the VM's.
    const own = pids.get(uuid) ?? null;
    return own === null || own === pid;
  };
  return seen.filter((process) => !isOurs(process)).map(({ pid, startTicks, argv }) => ({
    pid, ...(startTicks === undefined ? {} : { startTicks }), uuid: optionOf(argv, '-uuid'), name: nameOf(optionOf(argv, '-name')), commandLine: argv.join(' ').slice(0, longestCommandLine),
  }));
}

/** `-name guest=x,process=y` and `-name x` both name x. */
const nameOf = (value: string | null): string | null => value?.split(',')[0]?.replace(/^guest=/, '') ?? null;
