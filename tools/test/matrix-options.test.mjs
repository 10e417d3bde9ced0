// The command line of the fault tests.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MATRIX_FILE, readWords, seedOfDay } from './matrix-options.mjs';

test('without options the sample runs, with the day as its seed, and records nothing', () => {
  assert.deepEqual(readWords(['faults']), { stages: ['faults'], matrix: { mode: 'quick', seed: seedOfDay(), file: null }, fresh: false });
});

test('the whole goes on with what is recorded, in a part, for a time', () => {
  assert.deepEqual(readWords(['faults', '--matrix', '--shard', '2/5', '--minutes', '8', '--only', 'compute.vm.stop', '--seed', '7', '--tasks', '40', '--fresh']),
    { stages: ['faults'], matrix: { mode: 'whole', seed: 7, file: MATRIX_FILE, shard: [2, 5], minutes: 8, only: 'compute.vm.stop', most: 40 }, fresh: true });
});

test('a day later the sample is another one', () => {
  assert.equal(seedOfDay(86_400_000) + 1, seedOfDay(2 * 86_400_000));
});

for (const words of [['--all'], ['--seed'], ['--seed', 'x'], ['--shard', '3/2'], ['--shard', '0/2'], ['--minutes', '0'], ['--tasks', '0'], ['--only', 'stop']]) {
  test(`${words.join(' ')} is refused`, () => { assert.throws(() => readWords(words)); });
}
