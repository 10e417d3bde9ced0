// What a chaos run was asked for, and how its result becomes a page.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chaosText } from './chaos-report.mjs';
import { readChaosWords } from './chaos-words.mjs';

const result = {
  seed: 7, minutes: 3, tasks: 2, when: '2026-01-31T12:00:00.000Z', tookMs: 61_000, commands: 3, tasksEnded: 4, deeds: { 'compute.vm.start': { doors: { rest: 1, publish: 1 }, ends: { succeeded: 1, failed: 1 } } },
  faults: { 'kill nats': 2 }, refused: { 'compute.vm.stop: VM_BUSY': 1 }, effects: { once: 3, refused: 0, dropped: 1 }, ownEnds: {}, failed: ['compute.vm.start by rest: failed: {}'], checks: { 'not answered': [], outcomes: ['one'] },
};

test('the page says what was done, what was found, and what was not looked at', () => {
  const text = chaosText(result);
  assert.match(text, /--seed 7 --tasks 2` on 2026-01-31: \*\*failed\*\*\. 2 of 2 done in 61 s, with 3 commands, 2 faults and 1 refusals; 4 tasks ended/);
  assert.match(text, /commands without an answer \| none \|[^]*with another number of outcomes than one \| \*\*1\*\* \|[^]*not looked at/);
  assert.match(text, /\| compute\.vm\.start \| 1 rest, 1 publish \| 1 succeeded, 1 failed \|[^]*\| kill nats \| 2 \|[^]*undone[^]*- compute/);
  assert.match(chaosText({ ...result, passed: true }), /\*\*passed\*\*/);
  assert.match(chaosText({ ...result, outages: true, guests: 12, checks: { guests: [] } }), /## The long outages[^]*chaos -- --outages --minutes 3 --seed 7[^]*guests that ended while NATS, [^|]*\| none \|[^]*outages of NATS: 12\./);
  assert.doesNotMatch(text, /guests that ended/);
});

test('words are read, and others refused', () => {
  assert.deepEqual(readChaosWords(['--minutes', '3', '--seed', '9']), { minutes: 3, seed: 9, tasks: 200, outages: false });
  assert.deepEqual(readChaosWords(['--seed', '9', '--outages']), { minutes: 16, seed: 9, tasks: 100, outages: true });
  assert.equal(readChaosWords([], 86_400_000 * 5).seed, 5);
  assert.throws(() => readChaosWords(['--hours', '3']), /There is no option --hours/);
  assert.throws(() => readChaosWords(['--minutes']), /needs a value/);
});
