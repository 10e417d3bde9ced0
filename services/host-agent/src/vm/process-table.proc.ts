// The processes of this host as /proc shows them. A zombie is dead; a pid is the same process only together with its
// start time; and only processes of this network namespace belong to this host.
import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename } from 'node:path';
import { sleep } from '#kernel';
import { errorCode } from '../error-code.ts';

export interface ProcessSeen {
  readonly pid: number;
  readonly startTicks: number;
  readonly argv: readonly string[];
}

/** Fields of /proc/PID/stat behind the name, which may itself hold spaces and brackets. */
export function parseStat(text: string): { state: string; startTicks: number } {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0] ?? '', startTicks: Number(fields[19]) };
}

const deadStates = new Set(['Z', 'X', 'x']);

async function orNull<T>(read: Promise<T>): Promise<T | null> {
  try {
    return await read;
  } catch (error) {
    // A process may end between any two looks at it.
    if (['ENOENT', 'ESRCH', 'EACCES'].includes(errorCode(error) ?? '')) return null;
    throw error;
  }
}

/** Field 22 of /proc/PID/stat of a living process, else null. */
export async function startTicksOf(pid: number): Promise<number | null> {
  const stat = await orNull(readFile(`/proc/${pid}/stat`, 'utf8'));
  if (stat === null) return null;
  const { state, startTicks } = parseStat(stat);
  return deadStates.has(state) ? null : startTicks;
}

export async function isAlive(process: { readonly pid: number; readonly startTicks: number }): Promise<boolean> {
  return (await startTicksOf(process.pid)) === process.startTicks;
}

/** Every living process of this network namespace that looks like QEMU, or is about to become the QEMU of a VM. */
export async function qemuProcesses(): Promise<ProcessSeen[]> {
  const own = await readlink('/proc/self/ns/net');
  return processesThat((cmdline) => cmdline.includes('qemu'), (argv) => argv.some(isQemuProgram), own);
}

/** Every living process of this network namespace that has this argument, or is about to become one that has it. */
export async function processesWith(argument: string): Promise<ProcessSeen[]> {
  return processesThat((cmdline) => cmdline.includes(argument), (argv) => argv.includes(argument), await readlink('/proc/self/ns/net'));
}

async function processesThat(mayBe: (cmdline: string) => boolean, is: (argv: readonly string[]) => boolean, own: string): Promise<ProcessSeen[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const seen = await Promise.all(pids.map((pid) => processThat(pid, mayBe, is, own)));
  return seen.filter((process) => process !== null);
}

/** A program is long loaded by then, or will not be. */
const longestLoadMs = 2_000;

/**
 * Its arguments, each with a NUL behind it; empty where it has ended. While a process becomes another program it has none for
 * a moment: it is looked at again. The kernel's own processes, and those that end, have no program.
 */
export async function commandLineOf(pid: number): Promise<string> {
  const giveUpAt = performance.now() + longestLoadMs;
  for (;;) {
    const text = await orNull(readFile(`/proc/${pid}/cmdline`, 'utf8'));
    if (text !== '') return text ?? '';
    if ((await orNull(readlink(`/proc/${pid}/exe`))) === null || performance.now() > giveUpAt) return '';
    await sleep(2);
  }
}

/** The cheap question first: most processes of a machine are nobody's business. */
async function processThat(pid: number, mayBe: (cmdline: string) => boolean, is: (argv: readonly string[]) => boolean, ownNamespace: string): Promise<ProcessSeen | null> {
  const cmdline = await commandLineOf(pid);
  if (!mayBe(cmdline)) return null;
  const argv = cmdline.split('\0').slice(0, -1);
  if (!is(argv)) return null;
  if ((await orNull(readlink(`/proc/${pid}/ns/net`))) !== ownNamespace) return null;
  const startTicks = await startTicksOf(pid);
  return startTicks === null ? null : { pid, startTicks, argv };
}

/** The launcher's shell and setpriv carry QEMU's arguments before they become QEMU. */
const isQemuProgram = (argument: string): boolean => /^qemu-(system-[a-z0-9_]+|kvm)$/.test(basename(argument));

/** QEMU itself, not a program that has its name among its arguments. */
export const isQemuItself = ({ argv }: ProcessSeen): boolean => argv[0] !== undefined && isQemuProgram(argv[0]);

/** Kernel clock ticks per second as /proc counts them, on every Linux that runs QEMU. */
const ticksPerSecond = 100;

/** When a process began, as far as the wall clock is right now. */
export async function startedAt(startTicks: number): Promise<string> {
  const uptime = Number((await readFile('/proc/uptime', 'utf8')).split(' ')[0]);
  return new Date(Date.now() - (uptime - startTicks / ticksPerSecond) * 1000).toISOString();
}
