// How the kernel shares a processor among QEMUs: read from what they used of it, never from how long anything took.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { eventually } from './eventually.ts';

const ticksPerSecond = 100;

/** CPU time of a process since its start, s. */
export function cpuSeconds(pid: number): number {
  const [utime, stime] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ').slice(11, 13).map(Number);
  return (utime! + stime!) / ticksPerSecond;
}

/** Lets all of a process' threads run on this processor alone, so that it has to be shared whatever else the machine has. */
export function pinTo(processor: number, pid: number): void {
  const { status, stderr } = spawnSync('taskset', ['--all-tasks', '--cpu-list', '--pid', String(processor), String(pid)], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`process ${pid} cannot be pinned: ${stderr}`);
}

/** What each process gets while all together get `seconds` of CPU time. */
export async function consumed(pids: readonly number[], seconds: number): Promise<number[]> {
  const before = pids.map(cpuSeconds);
  const since = (): number[] => pids.map((pid, index) => cpuSeconds(pid) - before[index]!);
  await eventually(`the processes use ${seconds} s`, () => since().reduce((a, b) => a + b, 0) >= seconds, { withinMs: 120_000 });
  return since();
}
