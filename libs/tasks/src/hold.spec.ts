// Where a test may hold a task, and that nobody else can.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, readFileSync, readdirSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sleep } from '#kernel';
import { Holds, holdsOf } from './hold.ts';
import type { HeldStep } from './hold.ts';
import { defineTask } from './kind.ts';

let dir: string;
beforeEach(() => { dir = mkdtempSync(join(tmpdir(), 'tok-hold-')); });
afterEach(() => { rmSync(dir, { recursive: true }); });

const met: Omit<HeldStep, 'signal'> = { kind: 'compute.vm.stop', taskId: 't1', isChild: false, step: 'press', place: 'before' };
const held = (): string[] => readdirSync(join(dir, 'held'));
async function untilHeld(): Promise<void> {
  for (const giveUpAt = performance.now() + 5_000; held().length === 0 && performance.now() < giveUpAt;) await sleep(5);
}

describe('holds', () => {
  it.each([undefined, ''])('are none without a directory (%p)', (name) => {
    expect(holdsOf({ TOK_TEST_HOLD: name, NODE_ENV: 'production' })).toBeUndefined();
  });

  it.each(['production', undefined, 'development'])('are refused where NODE_ENV is %p', (mode) => {
    expect(() => holdsOf({ TOK_TEST_HOLD: dir, NODE_ENV: mode })).toThrow(/does not start/);
  });

  it('tell the kinds and their steps', () => {
    const step = (name: string) => ({ name, run: () => Promise.resolve({}) });
    new Holds(dir).tell(defineTask({ kind: 'compute.vm.stop', object: 'vm', steps: [step('ask'), step('press')] }));
    expect(JSON.parse(readFileSync(join(dir, 'kinds/compute.vm.stop'), 'utf8'))).toEqual({ kind: 'compute.vm.stop', steps: ['ask', 'press'] });
  });

  it.each([['another step', { ...met, step: 'other' }], ['the other place', { ...met, place: 'after' as const }], ['a child', { ...met, isChild: true }]])('do not stop %s', async (_, step) => {
    const holds = new Holds(dir);
    writeFileSync(join(dir, 'wanted', 'compute.vm.stop@press@before'), 'top');
    await holds.meet({ ...step, signal: new AbortController().signal });
    expect(held()).toEqual([]);
  });

  it('keep a task until the test lets it go', async () => {
    const holds = new Holds(dir);
    const wanted = join(dir, 'wanted', 'compute.vm.stop@press@before');
    writeFileSync(wanted, 'top');
    let gone = false;
    const meeting = holds.meet({ ...met, signal: new AbortController().signal }).then(() => { gone = true; });
    await untilHeld();
    expect([held(), gone]).toEqual([['compute.vm.stop@press@before@t1'], false]);
    unlinkSync(wanted);
    await meeting;
    expect(gone).toBe(true);
  });

  it('end with the run', async () => {
    const holds = new Holds(dir);
    writeFileSync(join(dir, 'wanted', 'compute.vm.stop@press@before'), 'top');
    const ending = new AbortController();
    const meeting = holds.meet({ ...met, signal: ending.signal });
    await untilHeld();
    ending.abort();
    await expect(meeting).resolves.toBeUndefined();
  });
});
