// A process is seen whatever it is at: also while it becomes another program, as a QEMU does when its agent has just died.
import { afterEach, expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { commandLineOf, processesWith } from './process-table.proc.ts';

const dir = mkdtempSync(join(tmpdir(), 'tok-process-table-'));
/** Field 9 of /proc/PID/stat; 0 where it has ended. */
function flagsOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[6]);
  } catch {
    return 0;
  }
}
afterEach(() => { rmSync(dir, { recursive: true, force: true }); });

test('a process that becomes one program after the other is seen all the time, and not when it has ended', async () => {
  const [script, mark] = [join(dir, 'again'), join(dir, 'mark')];
  writeFileSync(script, '#!/bin/sh\n[ "$1" -gt 0 ] && exec "$0" $(($1 - 1)) "$2"\n', { mode: 0o700 });
  const child = spawn(script, ['400', mark], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  await once(child, 'spawn');
  const seen: boolean[] = [];
  while (child.exitCode === null) seen.push((await commandLineOf(child.pid!)).includes(mark));
  const last = seen.lastIndexOf(true); // behind it come looks at a process whose end nobody has told of yet
  expect(last).toBeGreaterThan(50);
  expect(seen.slice(0, last).filter((found) => !found)).toEqual([]);
  await ended;
  expect(await processesWith(mark)).toEqual([]);
  expect(await commandLineOf(child.pid!)).toBe('');
});

test('the kernel’s own processes have no command line', async () => {
  const isKernels = (pid: number): boolean => (flagsOf(pid) & 0x200000) !== 0; // PF_KTHREAD
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter(isKernels); // none in a container
  expect(await Promise.all(pids.map(commandLineOf))).toEqual(pids.map(() => ''));
});
