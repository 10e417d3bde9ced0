// Which tests beside the code count for which fault.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { besideText, countBeside } from './beside-the-code.mjs';

const result = (...tests) => ({ testResults: [{ assertionResults: tests.map(([fullName, status]) => ({ fullName, status })) }] });

test('titles are counted by fault, what was skipped is not', () => {
  const counts = countBeside(result(['stop survives each step twice', 'passed'], ['start undoes twice what it undoes', 'failed'], ['reset survives each step twice', 'pending'], ['anything else', 'passed']));
  assert.deepEqual(counts, { F31: { passed: 1, failed: 1 } });
});

test('a command to a host counts for each instant at which its agent dies', () => {
  const titles = ['a command vm.start is carried out once though the agent dies with its intent in the journal', 'a command leaves nothing over, whenever the agent has died, once it is cleared away', 'without a death vm.start has its effect and its answer'];
  assert.deepEqual(countBeside(result(...titles.map((title) => [title, 'passed']))), { F32: { passed: 2, failed: 0 } });
});

test('stages add up', () => {
  const noted = { unit: { F33: { passed: 5, failed: 0 } }, integration: { F33: { passed: 1, failed: 0 }, F31: { passed: 2, failed: 1 } } };
  assert.deepEqual(['F33', 'F31', 'F1'].map((fault) => besideText(fault, noted)), ['6 passed beside the code', '2 passed, **1 failed** beside the code', undefined]);
});
