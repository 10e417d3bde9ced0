import { describe, expect, it } from '@jest/globals';
import { Busy, CommandRunning, DatastoreFull, DeadlineExceeded, HostCommandFailed, HostUnreachable, Internal, NoCapacity, Overloaded, Unavailable, VmBusy } from '#contracts';
import { childEnded } from './child-event.ts';
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
  it.each([['has no steps', kind()], ['is not a name', kind('Bad Name')], ['two steps', kind('a', 'a')], ['is not <service>', { ...kind('a'), kind: 'test' }]])('is refused when it %s', (text, table) => {
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
    ['an end with a parent', { data: { task: { state: 'failed', parentTaskId: 'p' } } }, 'p'],
    ['a child at work', { data: { task: { state: 'running', parentTaskId: 'p' } } }, null],
    ['a task without parent', { data: { task: { state: 'failed', parentTaskId: null } } }, null],
    ['no event', '{"parentTaskId":"', null],
    ['something else', '"parentTaskId":"p"', null],
  ])('is read: %s', (_what, message, parent) => {
    expect(childEnded(bytes(message))).toBe(parent);
  });
});
