import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { shareOut } from './share-out.ts';

const party = (shares: number, least = 0, most = Infinity) => ({ shares, least, most });

describe('sharing out', () => {
  it.each([
    ['by shares', 4_000, [party(1), party(3)], [1_000, 3_000]],
    ['what one must have comes from the others', 4_000, [party(1, 2_000), party(1), party(2)], [2_000, 2_000 / 3, 4_000 / 3]],
    ['what one may not take goes to the others', 4_000, [party(1), party(2, 0, 500), party(1)], [1_750, 500, 1_750]],
    ['both at once', 1_000, [party(1, 600), party(8, 0, 100), party(1)], [600, 100, 300]],
    ['never less than the leasts, even where there is less', 100, [party(1, 80), party(9, 70)], [80, 70]],
    ['never more than the mosts, even where there is more', 1_000, [party(1, 0, 10), party(1, 0, 20)], [10, 20]],
    ['nothing to nobody', 1_000, [], []],
  ])('%s', (_, total, parties, parts) => {
    shareOut(total, parties).forEach((part, index) => { expect(part).toBeCloseTo(parts[index]!, 6); });
  });

  it('keeps every bound, shares the whole where the bounds allow it, and keeps the ratio among those that no bound holds', () => {
    const any = fc.record({ shares: fc.integer({ min: 1, max: 1_000_000 }), least: fc.integer({ min: 0, max: 1_000 }), more: fc.integer({ min: 0, max: 5_000 }) });
    fc.assert(fc.property(fc.integer({ min: 0, max: 20_000 }), fc.array(any, { maxLength: 8 }), (total, all) => {
      const parties = all.map(({ shares, least, more }) => party(shares, least, least + more));
      const parts = shareOut(total, parties);
      const sum = (of: readonly number[]): number => of.reduce((a, b) => a + b, 0);
      const [least, most] = [sum(parties.map((one) => one.least)), sum(parties.map((one) => one.most))];
      expect(sum(parts)).toBeCloseTo(Math.min(Math.max(total, least), most), 3);
      const free = parts.flatMap((part, index) => {
        const one = parties[index]!;
        expect(part).toBeGreaterThanOrEqual(one.least);
        expect(part).toBeLessThanOrEqual(one.most);
        return part > one.least && part < one.most ? [part / one.shares] : [];
      });
      for (const rate of free) expect(rate / free[0]!).toBeCloseTo(1, 6);
    }));
  });
});
