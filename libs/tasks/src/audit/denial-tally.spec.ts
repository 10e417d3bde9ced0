import { describe, expect, it } from '@jest/globals';
import type { AuditFacts, UserId } from '#contracts';
import { newUuid } from '#kernel';
import { DenialTally } from './denial-tally.ts';

const at = '2026-01-01T00:00:00.000Z';
const limits = { singlesPerUser: 3, singlesOfStrangers: 2, sumsPerUser: 2, sumsOfStrangers: 2 };
const ann = { userId: newUuid() as UserId, handle: 'ann' };
const bob = { userId: newUuid() as UserId, handle: 'bob' };
const denial = (over: Partial<AuditFacts> = {}): AuditFacts => ({
  operation: 'compute.vm.delete', door: 'rest', actor: ann, claimed: null, service: null, address: '192.0.2.1', object: { noun: 'vm', id: newUuid() },
  outcome: 'denied', code: 'PERMISSION_DENIED', taskId: null, traceId: 'trace', times: 1, since: null, ...over,
});
const stranger = (address: string, over: Partial<AuditFacts> = {}): AuditFacts => denial({ actor: null, code: 'UNAUTHENTICATED', address, ...over });
const take = (tally: DenialTally, ...all: AuditFacts[]): boolean[] => all.map((one) => tally.take(one, at));

describe('denials', () => {
  it('get records of their own up to the limit of their user, whatever others do', () => {
    const tally = new DenialTally(limits);
    expect(take(tally, denial(), denial(), denial(), denial(), denial({ actor: bob }))).toEqual([true, true, true, false, true]);
  });
  it('beyond it are one sum per operation, which names no object and no trace of one of them', () => {
    const tally = new DenialTally(limits);
    take(tally, ...Array.from({ length: 8 }, () => denial()));
    expect(tally.drain()).toEqual([{ ...denial(), object: { noun: 'vm', id: null }, traceId: null, times: 5, since: at }]);
    expect(tally.drain()).toEqual([]);
  });
  it('of more operations than are kept apart are one sum of several', () => {
    const tally = new DenialTally({ ...limits, singlesPerUser: 0 });
    take(tally, ...['a.b.c', 'a.b.d', 'a.b.e', 'a.b.f', 'a.b.c'].map((operation) => denial({ operation })));
    expect(tally.drain().map(({ operation, times, object, address }) => [operation, times, object.noun, address]))
      .toEqual([['a.b.c', 2, 'vm', '192.0.2.1'], ['a.b.d', 1, 'vm', '192.0.2.1'], ['*', 2, '*', null]]);
  });
  it('of strangers share one limit, so that a flood from everywhere is a handful of records that count it all', () => {
    const tally = new DenialTally(limits);
    const flood = Array.from({ length: 1_000 }, (_, index) => stranger(`198.51.100.${index % 250}`));
    expect(take(tally, ...flood).filter((single) => single)).toHaveLength(2);
    const sums = tally.drain();
    expect(sums).toHaveLength(3);
    expect(sums.reduce((all, { times }) => all + times, 2)).toBe(1_000);
    expect(take(tally, stranger('192.0.2.9'))).toEqual([true]);
  });
  it.each(['RATE_LIMITED', 'LOCKED_OUT'])('that answer a flood (%s) are added up from the first one on', (code) => {
    const tally = new DenialTally(limits);
    expect(take(tally, denial({ code }), stranger('192.0.2.1', { code }))).toEqual([false, false]);
    expect(tally.drain().map(({ times }) => times)).toEqual([1, 1]);
  });
  it('that could not be written are counted with their number', () => {
    const tally = new DenialTally(limits);
    tally.add(denial({ times: 40, since: '2025-12-31T23:59:00.000Z' }), at);
    tally.add(denial(), at);
    expect(tally.drain()).toMatchObject([{ times: 41, since: '2025-12-31T23:59:00.000Z' }]);
  });
});
