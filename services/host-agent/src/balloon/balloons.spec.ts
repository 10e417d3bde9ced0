// Rounds of looking at balloons, on the clock of the test.
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { silentLog } from '#bus';
import { until } from '#testing';
import { Balloons } from './balloons.process.ts';
import type { Ballooned } from './balloons.process.ts';
import type { Guest } from './targets.ts';

const MiB = 1024 * 1024;
const guest: Guest = { memoryBytes: 256 * MiB, memoryService: { reservation: 0, shares: 1000, limit: 128 * MiB }, actualBytes: 256 * MiB, targetBytes: 256 * MiB, availableBytes: null, hasDriver: true };

beforeEach(() => { jest.useFakeTimers({ doNotFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'nextTick', 'queueMicrotask', 'performance', 'Date'] }); });
afterEach(() => { jest.useRealTimers(); });

test('a guest that does not answer makes one round long; none pile up behind it, and a stop waits for no more than that', async () => {
  const answer = Promise.withResolvers<Guest>();
  let looks = 0;
  const told: number[] = [];
  const slow: Ballooned = {
    lookAtMemory: () => { looks++; return answer.promise; },
    aimMemory: (targetBytes) => { told.push(targetBytes); return Promise.resolve(); },
    memoryMoves: true,
  };
  const balloons = new Balloons({ keptBytes: 0, vms: () => Promise.resolve([slow]), log: silentLog });
  balloons.start();
  jest.advanceTimersByTime(1_000);
  await until('it has been asked', () => looks === 1);
  jest.advanceTimersByTime(10_000);
  answer.resolve(guest);
  await balloons.stop();
  expect([looks, told]).toEqual([1, [128 * MiB]]);
});

test('a round that fails is told of, and the next one is made', async () => {
  const errors: unknown[] = [];
  let rounds = 0;
  const balloons = new Balloons({
    keptBytes: 0, log: { ...silentLog, error: (details: object) => { errors.push(details); } },
    vms: () => (rounds++ === 0 ? Promise.reject(new Error('no')) : Promise.resolve([])),
  });
  balloons.start();
  jest.advanceTimersByTime(1_000);
  await until('the first round has failed', () => errors.length === 1);
  await until('another one is made', () => { jest.advanceTimersByTime(1_000); return rounds > 1; });
  await balloons.stop();
});
