// Names a process so that others on the same machine can tell for certain that it is gone: what it held need not run out
// then. Where that cannot be told (another machine, another pid namespace, no /proc) nobody is taken for gone.
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

/** One boot of one kernel, and the numbering of processes in which this one has its number. */
const place = ((): string => {
  try {
    return createHash('sha256').update(`${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')} ${readlinkSync('/proc/self/ns/pid')}`).digest('hex').slice(0, 12);
  } catch {
    return '-';
  }
})();

interface Seen { readonly state: string; readonly start: string }

/** Field 3 and field 22 of /proc/PID/stat: its state, and its start, which with the pid names one process of this boot. */
function seen(pid: string): Seen | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
    return { state: fields[0] ?? '', start: fields[19] ?? '' };
  } catch {
    return undefined;
  }
}

/** Of this process, each time another one: `<host>:<place>:<pid>:<start>:<random>`, 90 characters at most. */
export const processName = (): string => `${hostname().slice(0, 30)}:${place}:${process.pid}:${seen('self')?.start ?? '-'}:${randomBytes(6).toString('hex')}`;

/** Whether the process of this name is certainly gone. A name of another form is nobody's. */
export function isGone(name: string): boolean {
  const [there, pid, start] = name.split(':').slice(-4);
  if (there === undefined || pid === undefined || start === undefined || place === '-' || there !== place || !/^\d+$/.test(pid) || !/^\d+$/.test(start)) return false;
  const now = seen(pid);
  // Not to be seen may be for want of rights; a signal that finds nobody is for certain.
  if (now === undefined) return !exists(Number(pid));
  return now.start !== start || now.state === 'Z' || now.state === 'X';
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
