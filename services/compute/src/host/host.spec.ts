import { describe, expect, it } from '@jest/globals';
import { ageOfJoin, ageOfVmReport, pastBootsWith } from './host.ts';

const heard = { bootId: 'b', pastBoots: ['a'], epoch: 5, seq: 10 };

describe('a report of all that a host has', () => {
  it.each([
    ['the next one', { bootId: 'b', epoch: 5, seq: 11 }, 'news'],
    ['the same again', { bootId: 'b', epoch: 5, seq: 10 }, 'old'],
    ['one that was overtaken', { bootId: 'b', epoch: 5, seq: 9 }, 'old'],
    ['of the next start of the agent', { bootId: 'b', epoch: 6, seq: 1 }, 'news'],
    ['of an earlier start', { bootId: 'b', epoch: 4, seq: 99 }, 'old'],
    ['of a new boot', { bootId: 'c', epoch: 6, seq: 1 }, 'news'],
    ['of a boot that is over, however high', { bootId: 'a', epoch: 99, seq: 99 }, 'old'],
  ])('%s', (_what, order, age) => expect(ageOfJoin(heard, order)).toBe(age));
});

describe('a report about one VM', () => {
  it.each([
    ['of the present boot', 'b', 'news'],
    ['of a boot that is over', 'a', 'old'],
    ['of a boot that nobody has heard of', 'c', 'unclear'],
  ])('%s', (_what, bootId, age) => expect(ageOfVmReport(heard, { bootId, epoch: 5, seq: 1 })).toBe(age));
  it('of a host that has not been heard before is believed', () => {
    expect(ageOfVmReport({ bootId: null, pastBoots: [], epoch: 0, seq: 0 }, { bootId: 'x', epoch: 1, seq: 1 })).toBe('news');
  });
});

it('past boots are kept, the latest sixteen, and the present one never', () => {
  expect(pastBootsWith(heard, 'b')).toEqual(['a']);
  expect(pastBootsWith(heard, 'c')).toEqual(['a', 'b']);
  const many = Array.from({ length: 16 }, (_, index) => `x${String(index)}`);
  expect(pastBootsWith({ ...heard, pastBoots: many }, 'c')).toEqual([...many.slice(1), 'b']);
});
