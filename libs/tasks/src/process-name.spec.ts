import { describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { isGone, processName } from './process-name.proc.ts';

const own = processName().split(':');
const startOf = (pid: number): string => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ')[19]!;
const named = (pid: number | string, start: string, place = own.at(-4)!): string => ['host', place, pid, start, 'abc'].join(':');

describe('the name of a process', () => {
  it('is another one each time, and fits its column', () => {
    expect(processName()).not.toBe(processName());
    expect(processName().length).toBeLessThanOrEqual(90);
  });

  it('tells that it lives, also behind a word before it', () => {
    expect(isGone(processName())).toBe(false);
    expect(isGone(`relay:${processName()}`)).toBe(false);
  });

  it('tells that it was killed, and that its number belongs to another one', async () => {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    const pid = child.pid!;
    const name = named(pid, startOf(pid));
    expect(isGone(name)).toBe(false);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(isGone(name)).toBe(true);
    expect(isGone(named(process.pid, '1'))).toBe(true);
  });

  it.each([
    ['of another machine, boot or pid namespace', named(2 ** 22, '1', 'elsewhere')],
    ['of another form', 'host:123:abcdef'],
    ['without a start', named(2 ** 22, '-')],
    ['that is empty', ''],
  ])('says nothing about one %s', (_what, name) => { expect(isGone(name)).toBe(false); });
});
