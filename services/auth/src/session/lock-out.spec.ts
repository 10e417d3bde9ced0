import { describe, expect, it } from '@jest/globals';
import { policies, scopes, waitMs } from './lock-out.ts';

describe.each(scopes)('the wait of an %s', (scope) => {
  const policy = policies[scope];

  it('is nothing at first, never falls and never exceeds its limit', () => {
    const waits = Array.from({ length: 1_200 }, (_, failures) => waitMs(policy, failures));
    expect(waits.slice(0, policy.free).every((wait) => wait === 0)).toBe(true);
    expect(waits[policy.free]).toBe(policy.firstMs);
    expect(waits.every((wait, index) => index === 0 || wait >= waits[index - 1]!)).toBe(true);
    expect(waits.at(-1)).toBe(policy.longestMs);
  });
});
