import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ceilingOf, floorOf, targetsOf } from './targets.ts';
import type { Guest } from './targets.ts';

const MiB = 1024 * 1024;
const GiB = 1024 * MiB;
const guest = (change: { memory?: number; actual?: number; target?: number; available?: number | null; reservation?: number; shares?: number; limit?: number | null; hasDriver?: boolean } = {}): Guest => {
  const memory = change.memory ?? GiB;
  const actual = change.actual ?? memory;
  return {
    memoryBytes: memory, actualBytes: actual, targetBytes: change.target ?? actual, availableBytes: change.available === undefined ? actual : change.available, hasDriver: change.hasDriver ?? true,
    memoryService: { reservation: change.reservation ?? 0, shares: change.shares ?? 1000, limit: change.limit ?? null },
  };
};
const plenty = { availableBytes: 100 * GiB, keptBytes: GiB };
const shortBy = (bytes: number) => ({ availableBytes: GiB - bytes, keptBytes: GiB });
const targets = (host: { availableBytes: number; keptBytes: number }, ...guests: Guest[]): number[] => targetsOf(host, guests).map((bytes) => bytes / MiB);

describe('where there is plenty', () => {
  it('a guest has its memory, or as much as its limit says', () => {
    expect(targets(plenty, guest(), guest({ limit: 700 * MiB }), guest({ memory: 128 * MiB, limit: 96 * MiB, available: 0 }))).toEqual([1024, 700, 96]);
  });
  it('the floor holds against a limit below it', () => {
    expect(targets(plenty, guest({ limit: 10 * MiB }), guest({ memory: 128 * MiB, limit: MiB }), guest({ memory: 16 * MiB }))).toEqual([256, 64, 16]);
  });
  it('what was taken is given back', () => {
    expect(targets(plenty, guest({ actual: 300 * MiB }), guest({ actual: 300 * MiB, limit: 400 * MiB }))).toEqual([1024, 400]);
  });
  it('and by shares, where there is not enough for all', () => {
    const host = { availableBytes: GiB + GiB / 4 + 400 * MiB, keptBytes: GiB };
    expect(targets(host, guest({ actual: 300 * MiB, shares: 1000 }), guest({ actual: 300 * MiB, shares: 1500 }))).toEqual([400, 600]);
  });
});

describe('where the host is short', () => {
  it('takes back what is missing and a margin, by shares', () => {
    expect(targets(shortBy(144 * MiB), guest({ shares: 1000 }), guest({ shares: 1000 }))).toEqual([824, 824]);
    expect(targets(shortBy(144 * MiB), guest({ shares: 1000 }), guest({ shares: 3000 }))).toEqual([624, 1024]);
  });
  it('takes no more than a guest can spare, and leaves it some room', () => {
    expect(targets(shortBy(GiB), guest({ available: 164 * MiB }))).toEqual([924]);
    expect(targets(shortBy(GiB), guest({ available: 0 }))).toEqual([1024]);
  });
  it('never takes a guest below its floor', () => {
    expect(targets(shortBy(GiB), guest(), guest({ reservation: 800 * MiB }), guest({ memory: 128 * MiB }))).toEqual([256, 800, 64]);
  });
  it('leaves a guest that says nothing half of its memory', () => {
    expect(targets(shortBy(GiB), guest({ available: null }))).toEqual([512]);
  });
  it('asks nothing of a guest without a driver', () => {
    expect(targets(shortBy(GiB / 4), guest({ hasDriver: false }), guest())).toEqual([1024, 512]);
  });
  it('gives nobody more', () => {
    expect(targets(shortBy(0.5 * MiB), guest({ actual: 500 * MiB, available: 0 }))).toEqual([500]);
  });
});

it('between short and enough nothing moves, and what is on its way goes on', () => {
  const host = { availableBytes: 1.1 * GiB, keptBytes: GiB };
  expect(targets(host, guest({ actual: 500 * MiB }), guest({ actual: 700 * MiB, target: 600 * MiB }), guest({ limit: 800 * MiB }))).toEqual([500, 600, 800]);
});

it('every target is within floor and ceiling, whatever happens', () => {
  const any = fc.record({
    memory: fc.integer({ min: 16, max: 65_536 }).map((n) => n * MiB), part: fc.double({ min: 0, max: 1, noNaN: true }), free: fc.option(fc.double({ min: 0, max: 1, noNaN: true })),
    reserved: fc.double({ min: 0, max: 1, noNaN: true }), shares: fc.integer({ min: 1, max: 1_000_000 }), limit: fc.option(fc.double({ min: 0.01, max: 1.5, noNaN: true })), hasDriver: fc.boolean(),
  });
  fc.assert(fc.property(fc.integer({ min: 0, max: 64 * 1024 }), fc.array(any, { maxLength: 6 }), (available, all) => {
    const guests = all.map(({ memory, part, free, reserved, shares, limit, hasDriver }) => guest({
      memory, actual: Math.round(memory * part), available: free === null ? null : Math.round(memory * part * free), shares, hasDriver,
      reservation: Math.round(memory * reserved), limit: limit === null ? null : Math.round(memory * limit),
    }));
    targetsOf({ availableBytes: available * MiB, keptBytes: GiB }, guests).forEach((bytes, index) => {
      expect(bytes).toBeGreaterThanOrEqual(floorOf(guests[index]!));
      expect(bytes).toBeLessThanOrEqual(Math.max(ceilingOf(guests[index]!), floorOf(guests[index]!)) + MiB);
      expect(bytes % MiB).toBe(0);
    });
  }));
});
