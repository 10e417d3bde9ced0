// What this machine is and how busy it is, read from the kernel. Nothing here decides who is alive.
import { readFile } from 'node:fs/promises';
import { cpus, release, totalmem } from 'node:os';
import { version } from '#config';
import type { HostInventory } from '#contracts';
import { z } from 'zod';
import type { AgentEnvironment } from '../environment.ts';
import { processorMhz } from '../processor.proc.ts';
import { runCommand, succeeded } from '../run-command.ts';

const Links = z.array(z.object({ ifname: z.string(), operstate: z.string(), flags: z.array(z.string()) }));

async function linksUp(): Promise<Set<string>> {
  const outcome = await runCommand(['ip', '-json', 'link', 'show'], { deadlineMs: 3_000 });
  const links = Links.safeParse(succeeded(outcome) ? JSON.parse(outcome.stdout) : []);
  return new Set((links.data ?? []).filter(({ operstate, flags }) => operstate === 'UP' || flags.includes('LOWER_UP')).map(({ ifname }) => ifname));
}

export async function inventoryOf({ identity, drivers, qemu }: AgentEnvironment): Promise<HostInventory> {
  const up = Object.keys(identity.uplinks).length === 0 ? new Set<string>() : await linksUp();
  const processors = cpus();
  return {
    name: identity.hostName, agentVersion: version, kernel: release(), qemuVersion: qemu.version, ovsVersion: drivers.switches.version(),
    accelerator: qemu.accelerator, acceleratorReason: qemu.acceleratorReason,
    cpu: { model: processors[0]?.model ?? 'unknown', logical: processors.length, mhz: processorMhz() },
    memoryBytes: totalmem(), cgroup: drivers.cgroups.version,
    uplinks: Object.entries(identity.uplinks).map(([name, device]) => ({ name, interface: device, up: up.has(device) })),
    datapath: drivers.switches.datapath(), vmUids: { from: identity.vmUids.first, to: identity.vmUids.last }, tpm: qemu.swtpm !== null,
  };
}

/** Busy and total ticks since boot, from the first line of /proc/stat. */
export function parseCpuTicks(stat: string): { busy: number; total: number } {
  const ticks = (stat.split('\n')[0] ?? '').split(/\s+/).slice(1, 9).map(Number);
  const total = ticks.reduce((sum, tick) => sum + tick, 0);
  return { busy: total - (ticks[3] ?? 0) - (ticks[4] ?? 0), total };
}

const bytesOf = (meminfo: string, name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(meminfo)?.[1] ?? 0) * 1024;
export const parseMemoryAvailable = (meminfo: string): number => bytesOf(meminfo, 'MemAvailable');
export const parseMemoryUsed = (meminfo: string): number => bytesOf(meminfo, 'MemTotal') - parseMemoryAvailable(meminfo);

/** Each call answers the use since the call before. */
export function usageMeter(): () => Promise<{ cpuPercent: number; memoryUsedBytes: number } | null> {
  let before: { busy: number; total: number } | undefined;
  return async () => {
    const [stat, meminfo] = await Promise.all([readFile('/proc/stat', 'utf8'), readFile('/proc/meminfo', 'utf8')]);
    const now = parseCpuTicks(stat);
    const last = before;
    before = now;
    if (last === undefined || now.total <= last.total) return null;
    return { cpuPercent: Math.round((1000 * (now.busy - last.busy)) / (now.total - last.total)) / 10, memoryUsedBytes: parseMemoryUsed(meminfo) };
  };
}
