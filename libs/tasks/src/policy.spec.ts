import { describe, expect, it } from '@jest/globals';
import { Busy, CommandRunning, DatastoreFull, DeadlineExceeded, HostCommandFailed, HostUnreachable, Internal, NoCapacity, Overloaded, Unavailable, VmBusy } from '#contracts';
import type { Task } from '#contracts';
import { newUuid } from '#kernel';
import { childTold } from './child-event.ts';
import { blockerOf, childView, seenOf, sumOf } from './child-view.ts';
import { passesByItself, pauseMs, wireFault } from './fault.ts';
import { defineTask, pointOfNoReturn } from './kind.ts';
import { RateWindow } from './progress.worker.ts';

describe('a fault', () => {
  it.each([
    [Unavailable.fault('', { service: 'x' }), true], [DeadlineExceeded.fault(''), true], [Overloaded.fault(''), true], [CommandRunning.fault('', { commandId: 'x' }), true],
    [HostUnreachable.fault('', { hostId: 'x' }), true], [Busy.fault(''), true], [VmBusy.fault(''), true],
    [NoCapacity.fault('', { refusals: [] }), false], [HostCommandFailed.fault('', { reason: 'x' }), false], [DatastoreFull.fault(''), false], [Internal.fault(''), false], [{ code: 'NEVER_HEARD', detail: '' }, false],
  ])('$code passes by itself or not', (fault, passes) => {
    expect(passesByItself(fault)).toBe(passes);
  });
  it('leaves without its cause', () => {
    expect(JSON.stringify(wireFault(Internal.fault('x', undefined, new Error('secret')), 't'))).toBe('{"code":"INTERNAL","detail":"x","traceId":"t"}');
  });
  it('is waited for longer each time, up to a bound that is lower while the receiver works', () => {
    expect([0, 1, 2, 50].map((tries) => pauseMs(tries))).toEqual([100, 200, 400, 5_000]);
    expect(pauseMs(50, CommandRunning.fault('', { commandId: 'x' }))).toBe(1_000);
  });
});

describe('a table of steps', () => {
  const step = (name: string) => ({ name, run: () => Promise.resolve() });
  const kind = (...names: string[]) => ({ kind: 'compute.vm.test', object: 'vm', steps: names.map(step) });
  it.each([['has no steps', kind()], ['is not a name', kind('Bad Name')], ['two steps', kind('a', 'a')], ['is not <service>', { ...kind('a'), kind: 'test' }],
    ['turnsBackOn belongs', { ...kind('a'), steps: [{ ...step('a'), turnsBackOn: () => true }] }],
    ['turnsBackOn belongs', { ...kind('a'), steps: [{ ...step('a'), noReturn: true as const }, { ...step('b'), noReturn: true as const, turnsBackOn: () => true }] }]])('is refused when it %s', (text, table) => {
    expect(() => defineTask(table)).toThrow(text);
  });
  it('knows where it cannot turn back any more', () => {
    expect(pointOfNoReturn(kind('a', 'b'))).toBe(Infinity);
    expect(pointOfNoReturn({ ...kind('a'), steps: [step('a'), { ...step('b'), noReturn: true }] })).toBe(1);
  });
});

describe('a rate', () => {
  it('comes from the last ten seconds, and the estimate from the rate', () => {
    const rates = new RateWindow();
    expect(rates.view({ done: 0, total: 1000, unit: 'bytes' }, 0)).toMatchObject({ ratePerSecond: null, remainingMs: null });
    expect(rates.view({ done: 100, total: 1000, unit: 'bytes' }, 1_000)).toMatchObject({ ratePerSecond: 100, remainingMs: 9_000 });
    expect(rates.view({ done: 200, total: 1000, unit: 'bytes' }, 11_000)).toMatchObject({ ratePerSecond: 10, remainingMs: 80_000 });
  });
  it('begins anew when the work does', () => {
    const rates = new RateWindow();
    rates.view({ done: 900, total: 1000, unit: 'bytes' }, 0);
    expect(rates.view({ done: 0, total: 1000, unit: 'bytes' }, 1_000)).toMatchObject({ ratePerSecond: null });
  });
});

describe('a child’s event', () => {
  const bytes = (value: unknown): Uint8Array => new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));
  it.each([
    ['an end with a parent', { data: { task: { state: 'failed', parentTaskId: 'p' } } }, { parentTaskId: 'p', ended: true, task: null }],
    ['a child at work', { data: { task: { state: 'running', parentTaskId: 'p' } } }, { parentTaskId: 'p', ended: false, task: null }],
    ['a task without parent', { data: { task: { state: 'failed', parentTaskId: null } } }, null],
    ['no event', '{"parentTaskId":"', null],
    ['something else', '"parentTaskId":"p"', null],
  ])('is read: %s', (_what, message, told) => {
    expect(childTold(bytes(message))).toEqual(told);
  });
});

describe('a child in its parent', () => {
  const progress = (done: number, total: number, ratePerSecond: number | null = null, remainingMs: number | null = null) => ({ done, total, unit: 'bytes' as const, ratePerSecond, remainingMs });
  const task = (over: Partial<Task> = {}): Task => ({
    id: newUuid() as Task['id'], service: 'storage', kind: 'storage.volume.copy', object: { noun: 'volume', id: 'v', name: 'disk 0' }, state: 'running', progress: null, waitsFor: null, error: null, output: null, actor: null,
    parentTaskId: newUuid() as Task['id'], traceId: null, steps: [{ seq: 0, name: 'copy-data', state: 'running', attempt: 1, startedAt: null, endedAt: null, error: null, children: [] }], version: 3, createdAt: '2026-01-01T00:00:00.000Z', startedAt: null, endedAt: null, ...over,
  });
  const record = (value: Task) => ({ service: 'storage', taskId: value.id, arrivesUntil: '2026-01-01T00:00:00.000Z', seen: seenOf(value, undefined) });
  const view = (over: Partial<Task>, stepIsDone = false) => childView(record(task(over)), stepIsDone);

  it('shows its step and its progress, and its end even where nobody told it', () => {
    expect(view({ progress: progress(1, 4) })).toMatchObject({ kind: 'storage.volume.copy', state: 'running', step: 'copy-data', progress: { done: 1, total: 4 } });
    expect(view({ progress: progress(1, 4) }, true)).toMatchObject({ state: 'succeeded', step: null, progress: { done: 4, total: 4, remainingMs: 0 } });
    expect(childView({ service: 'storage', taskId: 'x', arrivesUntil: '' }, false)).toMatchObject({ kind: null, state: 'queued' });
  });
  it('adds up with those beside it, as fast as they are together and as long as the slowest takes', () => {
    const two = [view({ progress: progress(10, 100, 5, 18_000) }), view({ progress: progress(50, 60, 1, 10_000) }), view({})];
    expect(sumOf(two)).toEqual(progress(60, 160, 6, 18_000));
    expect(sumOf([view({ progress: progress(10, 10, 5, 0) }), view({ progress: progress(1, 10) })])).toEqual(progress(11, 20));
    expect(sumOf([view({}), view({})])).toBeNull();
    expect(sumOf([view({ progress: progress(1, 2) }), view({ progress: { ...progress(1, 2), unit: 'steps' } })])).toBeNull();
  });
  it('that waits itself lends its parent the name of its blocker', () => {
    const child = view({ waitsFor: { what: 'the host to respond', holder: 'host-1', position: null, since: '2026-01-01T00:00:00.000Z' } });
    const waitsFor = { what: 'the task storage.volume.provision', holder: child.taskId as string, position: null, since: '2026-01-01T00:00:00.000Z' };
    expect(blockerOf(waitsFor, [child])).toEqual({ ...waitsFor, what: 'the task storage.volume.provision, which waits for the host to respond', holder: 'host-1' });
    expect(blockerOf(waitsFor, [view({})])).toBe(waitsFor);
    expect(blockerOf(null, [child])).toBeNull();
  });
});
