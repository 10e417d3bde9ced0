// A lock between processes of one user, as a file. It dies with its holder: a lock of a process that is gone is taken over.
import { linkSync, readFileSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { randomUUID } from 'node:crypto';
import { Failure } from './failures.ts';
import { exit } from './exit-codes.ts';

const pollMs = 20;

/** Runs `work` alone among all that use `file`. Rejects when it cannot get the lock within `withinMs`. */
export async function withLock<T>(file: string, work: () => Promise<T>, withinMs = 30_000): Promise<T> {
  const mine = `${process.pid} ${randomUUID()}\n`;
  const until = performance.now() + withinMs;
  while (!take(file, mine)) {
    if (performance.now() > until) throw new Failure(exit.unavailable, `Another command holds ${file} for more than ${withinMs / 1000} s.`);
    await sleep(pollMs);
  }
  try {
    return await work();
  } finally {
    if (read(file) === mine) unlinkSync(file);
  }
}

/** The file appears with its content in one step, so that nobody ever reads half of it. */
function take(file: string, mine: string): boolean {
  const draft = `${file}.${randomUUID()}`;
  writeFileSync(draft, mine, { mode: 0o600 });
  try {
    linkSync(draft, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    dropIfDead(file);
    return false;
  } finally {
    unlinkSync(draft);
  }
}

/** What two callers may both do: only one rename succeeds, and what was renamed is looked at again before it goes. */
function dropIfDead(file: string): void {
  const found = read(file);
  if (found === undefined || alive(Number.parseInt(found, 10))) return;
  const aside = `${file}.${randomUUID()}`;
  try {
    renameSync(file, aside);
    if (read(aside) !== found) linkSync(aside, file);
    unlinkSync(aside);
  } catch (error) {
    if (!['ENOENT', 'EEXIST'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function alive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid < 1) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives and belongs to somebody else.
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
