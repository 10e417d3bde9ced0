import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromJest, fromNodeTest, oneFor, slowest, sum } from './tally.mjs';

const file = (name, status, tests, message = '') => ({ name, status, message, assertionResults: tests.map(([fullName, state]) => ({ fullName, status: state })) });

test('counts what jest tells, and names what failed and what was skipped', () => {
  const tally = fromJest({ testResults: [file('/x/libs/a.spec.ts', 'failed', [['a works', 'passed'], ['a breaks', 'failed'], ['a later', 'pending']])] });
  assert.deepEqual(tally, { passed: 1, failed: 1, skipped: 1, failures: ['libs/a.spec.ts: a breaks'], skips: ['libs/a.spec.ts: a later'] });
});

test('says why a test failed, without colours and places in the code', () => {
  const [failed] = fromJest({ testResults: [{ name: '/x/libs/a.spec.ts', status: 'failed', assertionResults: [{ fullName: 'a breaks', status: 'failed', failureMessages: [`\u001b[31mError: expected\u001b[39m\n\n  1\n    at Object.<anonymous> (a.spec.ts:1:1)\n${'long\n'.repeat(40)}`] }] }] }).failures;
  assert.deepEqual(failed.split('\n'), ['libs/a.spec.ts: a breaks', '    Error: expected', '      1', ...Array.from({ length: 10 }, () => '    long')]);
});

test('a file that jest could not run is a failure', () => {
  const tally = fromJest({ testResults: [file('/x/test/e2e/b.e2e.ts', 'failed', [], '\u001b[1mCannot find module\n\n x')] });
  assert.deepEqual([tally.failed, tally.failures], [1, ['test/e2e/b.e2e.ts: Cannot find module x']]);
});

test('a file whose clean-up failed behind passing tests is a failure', () => {
  assert.equal(fromJest({ testResults: [file('/x/test/c.e2e.ts', 'failed', [['fine', 'passed']], 'afterAll')] }).failed, 1);
});

test('names the files and tests that took longest, and none that took no time', () => {
  const timed = (name, ms, tests) => ({ name, startTime: 5, endTime: 5 + ms, assertionResults: tests.map(([fullName, duration]) => ({ fullName, duration })) });
  const result = { testResults: [timed('/x/libs/a.spec.ts', 900, [['a', 800]]), timed('/x/libs/b.spec.ts', 61_400, [['b is', 40_000], ['b was', 2_600], ['b skipped', null]]), timed('/x/libs/c.spec.ts', 70_000, [['c', 69_000]])] };
  assert.deepEqual(slowest(result, 2), ['   70 s libs/c.spec.ts', '   61 s libs/b.spec.ts', '   69 s libs/c.spec.ts: c', '   40 s libs/b.spec.ts: b is']);
});

test('reads the closing counts of node --test', () => {
  const tap = 'TAP version 13\nok 1 - fine\nok 2 - later # SKIP no root\nnot ok 3 - broken\n1..3\n# tests 3\n# pass 1\n# fail 1\n# cancelled 0\n# skipped 1\n# todo 0\n';
  assert.deepEqual(fromNodeTest(tap), { passed: 1, failed: 1, skipped: 1, failures: ['broken'], skips: ['later'] });
});

test('adds up', () => {
  assert.deepEqual(sum([oneFor('lint', true, ''), oneFor('docs', false, 'ended with 1')]), { passed: 1, failed: 1, skipped: 0, failures: ['docs ended with 1'], skips: [] });
});
