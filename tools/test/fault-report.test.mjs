// How the result of the fault tests becomes the first part of a page.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reportText } from './fault-report.mjs';

const result = { testResults: [{ assertionResults: [
  { fullName: 'F18 in part: NATS is away for a moment', status: 'passed' }, { fullName: 'F21: the disk is full', status: 'passed' }, { fullName: 'F24: no room', status: 'failed' },
] }] };

test('each fault is shown with what its tests came to, in part or whole, and at its full length', () => {
  const text = reportText(result, ['F18']);
  assert.match(text, /3 tests: 2 passed, 1 failed, 0 skipped\. 2 of 40 faults have a test that passed\./);
  assert.match(text, /\| F18 \|[^\n]*\| 1 passed, in part; passed at full length \(the long outages\) \|/);
  assert.match(text, /\| F19 \|[^\n]*\| not tested here \|/);
  assert.match(text, /\| F21 \|[^\n]*\| 1 passed[ ;|]/);
  assert.match(text, /\| F24 \|[^\n]*\*\*1 failed\*\*/);
  assert.match(reportText(result, []), /\| F18 \|[^\n]*\| 1 passed, in part \|/);
});
