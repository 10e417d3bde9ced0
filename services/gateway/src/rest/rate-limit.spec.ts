import { describe, expect, it } from '@jest/globals';
import { RateLimit } from './rate-limit.ts';

function setUp(mostKeys?: number) {
  let now = 0;
  const limit = new RateLimit(10, 5, { now: () => now, monotonic: () => now }, mostKeys);
  return { limit, pass: (ms: number) => { now += ms; } };
}

describe('a rate limit', () => {
  it('lets a burst through and then as many as it refills', () => {
    const { limit, pass } = setUp();
    expect(Array.from({ length: 6 }, () => limit.take('a'))).toEqual([0, 0, 0, 0, 0, 100]);
    pass(100);
    expect([limit.take('a'), limit.take('a')]).toEqual([0, 100]);
    pass(60_000);
    expect(Array.from({ length: 6 }, () => limit.take('a')).filter((wait) => wait === 0)).toHaveLength(5);
  });

  it('counts each key alone', () => {
    const { limit } = setUp();
    for (let turn = 0; turn < 5; turn++) limit.take('a');
    expect([limit.take('a') > 0, limit.take('b')]).toEqual([true, 0]);
  });

  it('forgets the keys used longest ago when there are too many', () => {
    const { limit, pass } = setUp(4);
    for (const key of ['a', 'b', 'c', 'd']) {
      for (let turn = 0; turn < 5; turn++) limit.take(key);
      pass(1);
    }
    limit.take('e');
    expect(limit.take('d')).toBeGreaterThan(0);
    expect(limit.take('a')).toBe(0);
  });
});
