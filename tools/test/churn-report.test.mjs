// How the result of a churn becomes a page.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { churnText } from './churn-report.mjs';

test('the page says how long it was, what came and went, and that a run failed', () => {
  const result = { minutes: 5, when: '2026-01-31T12:00:00.000Z', passed: true, rounds: 7, tasks: 84, kills: 6, orphans: 6, slowestMs: 12_345 };
  assert.match(churnText(result), /--minutes 5` on 2026-01-31: \*\*passed\*\*\. 7 VMs came and went in 84 tasks, and services and agents were killed 6 times[^]*6 files[^]*after 12\.3 s at most/);
  assert.match(churnText({ minutes: 5, when: result.when, passed: false }), /\*\*failed\*\*/);
});
