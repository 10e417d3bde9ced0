import { describe, expect, it } from '@jest/globals';
import { aimed, hasDriver, seen, toldOf, worthTelling } from './balloon.ts';
import type { Balloon } from './balloon.ts';

const MiB = 1024 * 1024;
const reading = (actual: number, lastWordAt: number, available: number | null = 50) => ({ actualBytes: actual * MiB, availableBytes: available === null ? null : available * MiB, lastWordAt });
/** Looks one after the other, a second apart. */
const looks = (balloon: Balloon | null, count: number, actual: number, word: (n: number) => number, fromMs: number): Balloon => {
  let last = balloon;
  for (let n = 1; n <= count; n++) last = seen(last, reading(actual, word(n)), fromMs + n * 1000);
  return last!;
};

describe('a balloon', () => {
  it('has a driver once its guest has sent statistics, and no longer when it has not for long', () => {
    const silent = looks(null, 3, 128, () => 0, 0);
    expect(toldOf(silent)).toEqual({ balloon: 'no-driver', actualBytes: 128 * MiB, targetBytes: 128 * MiB, availableBytes: null });
    const speaking = looks(silent, 3, 128, (n) => n, 3_000);
    expect(toldOf(speaking)).toMatchObject({ balloon: 'settled', availableBytes: 50 * MiB });
    expect(hasDriver(looks(speaking, 29, 128, () => 3, 6_000))).toBe(true);
    expect(toldOf(looks(speaking, 32, 128, () => 3, 6_000)).balloon).toBe('no-driver');
  });

  it('is no less there for a guest that was held still', () => {
    const speaking = looks(null, 1, 128, (n) => n, 0);
    const later = seen(speaking, reading(128, 1), 3600_000);
    expect(toldOf(later).balloon).toBe('settled');
    expect(toldOf(seen(aimed(later, 64 * MiB, 3600_000), reading(128, 1), 7200_000)).balloon).toBe('moving');
  });

  it('moves to its target, or is said to be stuck', () => {
    const told = aimed(looks(null, 1, 128, (n) => n, 0), 96 * MiB, 1_000);
    expect(toldOf(told).balloon).toBe('moving');
    const half = looks(told, 20, 112, (n) => n, 1_000);
    expect(toldOf(half).balloon).toBe('moving');
    expect(toldOf(looks(half, 1, 96, (n) => n + 20, 21_000)).balloon).toBe('settled');
    expect(toldOf(looks(half, 29, 112, (n) => n + 20, 21_000))).toMatchObject({ balloon: 'stuck', actualBytes: 112 * MiB, targetBytes: 96 * MiB });
    expect(toldOf(aimed(looks(half, 29, 112, (n) => n + 20, 21_000), 80 * MiB, 50_000)).balloon).toBe('moving');
  });

  it('is told of when it means something', () => {
    const now = toldOf(looks(null, 2, 128, (n) => n, 0));
    expect(worthTelling(null, now, 128 * MiB)).toBe(true);
    expect(worthTelling(now, now, 128 * MiB)).toBe(false);
    expect(worthTelling(now, { ...now, availableBytes: 40 * MiB }, 128 * MiB)).toBe(false);
    expect(worthTelling(now, { ...now, availableBytes: 20 * MiB }, 128 * MiB)).toBe(true);
    expect(worthTelling(now, { ...now, actualBytes: 100 * MiB }, 128 * MiB)).toBe(true);
    expect(worthTelling(now, { ...now, balloon: 'stuck' }, 128 * MiB)).toBe(true);
    expect(worthTelling(now, { ...now, targetBytes: now.targetBytes - MiB }, 128 * MiB)).toBe(true);
  });
});
