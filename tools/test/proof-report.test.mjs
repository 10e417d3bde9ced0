// How what the proofs note becomes a table.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { agentPoints, proofText } from './proof-report.mjs';

const steps = [{ name: 'place', undo: true }, { name: 'start', undo: false, noReturn: true }];
const note = (fault, cells, state = 'passed') => ({ kind: 'compute.vm.start', steps, fault, cells, state });

test('a step has a row, with how often each fault met it, in its undo too', () => {
  const text = proofText([note('worker killed', ['place', 'place', 'start', 'start']), note('worker killed in the undo', ['place', 'place']), note('step twice', ['place', 'start']), note('step fails', ['place'], 'failed')], { 'vm.start': ['done', 'intent'] });
  assert.match(text, /\| compute\.vm\.start \| place \| 2 \+ 2 \| – \+ – \| \*\*failed\*\* \| 1 \|/);
  assert.match(text, /\| compute\.vm\.start \| start \| 2 \+ – \|/);
  assert.match(text, /1 kinds, 2 steps: 8 passed, 1 proofs failed/);
  assert.match(text, /\| vm\.start \| done, intent \|/);
});

test('a cancel is counted by what the task was at, accepted or refused', () => {
  const text = proofText([note('cancelled', ['place', 'start']), note('cancelled, no worker', ['place']), note('cancelled, host silent', ['start']), note('cancelled on its way back', ['place']), note('cancelled, no slot', [], 'failed')], {});
  assert.match(text, /\| compute\.vm\.start \| place \| 1 \| 1 \| \*\*failed\*\* \| – \| – \| 1 refused \|/);
  assert.match(text, /\| compute\.vm\.start \| start \| – \| 1 refused \| \*\*failed\*\* \| 1 refused \| – \| – \|/);
  assert.match(text, /2 accepted, 3 refused as declared/);
});

test('the points of the agent are those that its tests name', () => {
  const points = agentPoints();
  assert.deepEqual(points['vm.start'], ['done', 'intent', 'launched', 'prepared', 'running', 'tpm']);
  assert.deepEqual([points['vm.power-off'], points['file.keep']], [['done', 'intent', 'vm.release:done'], ['done', 'effect', 'intent']]);
});
