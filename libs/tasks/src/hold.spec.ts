// Where a test may hold a task, and that nobody else can.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { mkdtempSync, readFileSync, readdirSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '#testing';
import { Holds, holdsOf } from './hold.ts';
import type { HeldStep } from './hold.ts';
import { defineTask } from './kind.ts';
import type { Step } from './kind.ts';

let dir: string;
beforeEach(() => { dir = mkdtempSync(join(tmpdir(), 'tok-hold-')); });
afterEach(() => { rmSync(dir, { recursive: true }); });

const never = new AbortController().signal;
const met: HeldStep = { kind: 'compute.vm.stop', taskId: 't1', isChild: false, step: 'press', signal: never };
const step = (name: string, more: Partial<Step<unknown>> = {}): Step<unknown> => ({ name, run: () => Promise.resolve({}), ...more });
const undo = (): Promise<void> => Promise.resolve();
const stopKind = defineTask({ kind: 'compute.vm.stop', object: 'vm', steps: [step('ask', { undo }), step('press'), step('release', { noReturn: true, undo })] });

const held = (): string[] => readdirSync(join(dir, 'held'));
const want = (point: string, who = 'top'): void => { writeFileSync(join(dir, 'wanted', point), who); };
const untilHeld = (count = 1): Promise<boolean> => until('so many tasks are held', () => held().length === count);

describe('holds', () => {
  it.each([undefined, ''])('are none without a directory (%p)', (name) => {
    expect(holdsOf({ TOK_TEST_HOLD: name, NODE_ENV: 'production' })).toBeUndefined();
  });

  it.each(['production', undefined, 'development'])('are refused where NODE_ENV is %p', (mode) => {
    expect(() => holdsOf({ TOK_TEST_HOLD: dir, NODE_ENV: mode })).toThrow(/does not start/);
  });

  it('tell the kinds, their steps, and the undos that a task can come to', () => {
    new Holds(dir).tell(stopKind);
    expect(JSON.parse(readFileSync(join(dir, 'kinds/compute.vm.stop'), 'utf8'))).toEqual({ kind: 'compute.vm.stop', steps: ['ask', 'press', 'release'], undo: ['ask'] });
  });

  it.each([['another step', { step: 'other' }, 'before'], ['the other place', {}, 'after'], ['a child', { isChild: true }, 'before']] as const)('do not stop %s', async (_, over, place) => {
    const holds = new Holds(dir);
    want('compute.vm.stop@press@before');
    await holds.meet({ ...met, ...over }, place);
    expect(held()).toEqual([]);
  });

  it('keep a task until the test lets it go', async () => {
    const holds = new Holds(dir);
    want('compute.vm.stop@press@before');
    let gone = false;
    const meeting = holds.meet(met, 'before').then(() => { gone = true; });
    await untilHeld();
    expect([held(), readFileSync(join(dir, 'held', 'compute.vm.stop@press@before'), 'utf8'), gone]).toEqual([['compute.vm.stop@press@before'], 't1', false]);
    unlinkSync(join(dir, 'wanted', 'compute.vm.stop@press@before'));
    await meeting;
    expect(gone).toBe(true);
  });

  it('take one task per point: the next one goes on to the next, and who has a point keeps it in another run', async () => {
    const [here, elsewhere] = [new Holds(dir), new Holds(dir)];
    want('compute.vm.stop@press@before');
    want('compute.vm.stop@press@after');
    const first = here.meet(met, 'before');
    await elsewhere.meet({ ...met, taskId: 't2' }, 'before');
    const second = elsewhere.meet({ ...met, taskId: 't2' }, 'after');
    const again = elsewhere.meet(met, 'before');
    await untilHeld(2);
    expect(await Promise.race([first, second, again, Promise.resolve('all stand')])).toBe('all stand');
    for (const point of readdirSync(join(dir, 'wanted'))) unlinkSync(join(dir, 'wanted', point));
    await Promise.all([first, second, again]);
  });

  it('end with the run', async () => {
    const holds = new Holds(dir);
    want('compute.vm.stop@press@before');
    const ending = new AbortController();
    const meeting = holds.meet({ ...met, signal: ending.signal }, 'before');
    await untilHeld();
    ending.abort();
    await expect(meeting).resolves.toBeUndefined();
  });

  it('have a task fail that is wanted on its way back, where its kind still turns, and hold that one there', async () => {
    const holds = new Holds(dir);
    holds.tell(stopKind);
    want('compute.vm.stop@ask@undo-before');
    expect(() => { holds.failIfWanted({ ...met, step: 'ask' }); }).not.toThrow();
    expect(() => { holds.failIfWanted(met); }).toThrow(/a test had this task fail/);
    expect(() => { holds.failIfWanted({ ...met, taskId: 't2' }); }).not.toThrow();
    await holds.meet({ ...met, step: 'ask', taskId: 't2' }, 'undo-before');
    expect(held()).toEqual([]);
    const ending = new AbortController();
    const meeting = holds.meet({ ...met, step: 'ask', signal: ending.signal }, 'undo-before');
    await untilHeld();
    ending.abort();
    await meeting;
    expect(held()).toEqual(['compute.vm.stop@ask@undo-before']);
  });
});
