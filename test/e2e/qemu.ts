// The QEMU processes of the lab's hosts, as the kernel shows them.
import { readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { processesInside } from './lab.mjs';
import type { LabHost, ProcessRecord } from './lab.mjs';
import type { World } from './world.ts';

const isQemu = ({ pid }: ProcessRecord): boolean => {
  try {
    return basename(readlinkSync(`/proc/${pid}/exe`)).startsWith('qemu-system');
  } catch {
    return false; // it has ended meanwhile
  }
};

export async function qemusOn(host: LabHost): Promise<ProcessRecord[]> {
  return (await processesInside(host.namespace)).filter(isQemu);
}

export async function allQemus({ record }: World): Promise<ProcessRecord[]> {
  return (await Promise.all(record.hosts.map(qemusOn))).flat();
}

/** The processes that run a VM anywhere; its id is QEMU's `-uuid`. */
export async function qemusOf(world: World, vmId: string): Promise<ProcessRecord[]> {
  return (await allQemus(world)).filter(({ pid }) => argumentsOf(pid).includes(vmId));
}

export const argumentsOf = (pid: number): string[] => readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');

/** Fields of /proc/PID/status. */
export function statusOf(pid: number): Map<string, string> {
  return new Map(readFileSync(`/proc/${pid}/status`, 'utf8').split('\n').filter(Boolean).map((line) => {
    const at = line.indexOf(':');
    return [line.slice(0, at), line.slice(at + 1).trim()];
  }));
}
