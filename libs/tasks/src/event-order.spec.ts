import { describe, expect, it } from '@jest/globals';
import { lastWantedBefore, nounsOf, Predecessors } from './event-order.ts';

const wanted = (...nouns: string[]): ReadonlySet<string> => new Set(nouns);

describe('with each event goes the last of each noun before it', () => {
  it('as far as the sender knows', () => {
    const predecessors = new Predecessors();
    const events = [[7, 'vm'], [8, 'task'], [9, 'vm'], [10, 'host'], [11, 'task']] as const;
    expect(events.map(([seq, noun]) => predecessors.of({ seq, noun }))).toEqual(['6', '6 vm=7', '6 vm=7 task=8', '6 vm=9 task=8', '6 vm=9 task=8 host=10']);
  });
  it('and it knows nothing of what it has not sent, or sends again', () => {
    const predecessors = new Predecessors();
    expect([1, 2].map((seq) => predecessors.of({ seq, noun: 'vm' }))).toEqual(['0', '0 vm=1']);
    expect(predecessors.of({ seq: 5, noun: 'vm' })).toBe('4');
    expect(predecessors.of({ seq: 5, noun: 'vm' })).toBe('4');
    expect(predecessors.of({ seq: 6, noun: 'vm' })).toBe('4 vm=5');
    expect(predecessors.of({ seq: 3, noun: 'host' })).toBe('2');
  });
});

describe('the last event before one that somebody wants', () => {
  it('is of a noun that he wants, or was before the sender knew', () => {
    const header = '100 vm=120 vm-group=130 host=104';
    expect(lastWantedBefore(131, header, wanted('vm'))).toBe(120);
    expect(lastWantedBefore(131, header, wanted('host', 'vm-group'))).toBe(130);
    expect(lastWantedBefore(131, header, wanted('cluster'))).toBe(100);
    expect(lastWantedBefore(131, '100', wanted('vm'))).toBe(100);
  });
  it('is the one before it to him who wants all, and where nobody says it', () => {
    expect(lastWantedBefore(131, '100 vm=120', undefined)).toBe(130);
    expect(lastWantedBefore(131, undefined, wanted('vm'))).toBe(130);
  });
  it.each(['', 'x', '100 vm', '100 vm=x', '100  vm=1', '100 vm=1 ', '-1', '1e3', '9'.repeat(17)])('is the one before it when the header is none: %j', (header) => {
    expect(lastWantedBefore(131, header, wanted('vm'))).toBe(130);
  });
  it('is never behind the event', () => {
    expect(lastWantedBefore(5, '100 vm=120', wanted('vm'))).toBe(4);
  });
});

describe('the nouns of names', () => {
  it('are each there once, and any where a name leaves it open', () => {
    expect(nounsOf(['compute.host.changed', 'compute.host.deleted', 'ha.liveness.changed'])).toEqual(wanted('host', 'liveness'));
    expect(nounsOf(['compute.host.changed', 'compute.*.deleted'])).toBeUndefined();
    expect([nounsOf(undefined), nounsOf([])]).toEqual([undefined, undefined]);
  });
});
