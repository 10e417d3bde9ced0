import { describe, expect, it } from '@jest/globals';
import { resourceOf, turnOf } from './slot.ts';
import type { Claimant } from './slot.ts';

const all = (...of: string[]): Claimant[] => of.map((text) => {
  const [taskId = '', userId = '', state] = text.split(' ');
  return { taskId, userId, isGranted: state === 'holds' };
});

describe('a slot that is free', () => {
  it.each([
    ['nobody asks', [], 2, [], []],
    ['who asks gets it while there are some', all('a1 a', 'b1 b', 'c1 c'), 2, ['a1', 'b1'], ['c1']],
    ['all are held', all('a1 a holds', 'b1 b holds', 'c1 c'), 2, [], ['c1']],
    ['a limit was made smaller', all('a1 a holds', 'b1 b holds', 'c1 c'), 1, [], ['c1']],
    ['one user has asked for many before another', all('a1 a', 'a2 a', 'a3 a', 'a4 a', 'b1 b'), 2, ['a1', 'b1'], ['a2', 'a3', 'a4']],
    ['who holds one waits behind who holds none', all('a1 a holds', 'a2 a', 'b1 b'), 2, ['b1'], ['a2']],
    ['turns are taken in order', all('a1 a', 'a2 a', 'b1 b', 'b2 b', 'c1 c'), 1, ['a1'], ['b1', 'c1', 'a2', 'b2']],
    ['who holds most comes last', all('a1 a holds', 'a2 a holds', 'b1 b holds', 'a3 a', 'b2 b', 'c1 c'), 4, ['c1'], ['b2', 'a3']],
  ] as const)('%s', (_case, claimants, most, granted, waiting) => {
    expect(turnOf(claimants as Claimant[], most)).toEqual({ granted, waiting });
  });

  it('is of one thing', () => {
    expect(resourceOf({ noun: 'datastore', id: 'd1', of: 'copies' })).toBe('datastore.copies:d1');
  });
});
