// Faults that are shown beside the code, without a pool: which tests of the unit and integration stages show which. The
// last results are kept, so that the page says the same after a run of the fault tests alone.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { REPO } from '../lab.d/layout.mjs';

const FILE = join(REPO, '.lab-matrix', 'beside-the-code.json');

/** Fault, and how the titles of its tests read. */
const SHOWN = [
  ['F22', /fills what it missed while the stream was deleted|goes on by itself when the stream is deleted under it|stream again when somebody deleted it/],
  ['F25', /gives the same task to a command whose commit was not answered|come to its end at whichever of its commits/],
  ['F27', /refuses to open on a Redis that evicts/],
  ['F28', /goes on when its worker dies at each step|undoes on when its worker dies in each undo/],
  ['F29', /is stopped there past its claim and thawed/],
  ['F30', /leaves nothing behind after a failure at each step|comes to its end when what it was stuck at is mended/],
  ['F31', /survives each step twice|undoes twice what it undoes/],
  ['F32', /goes on when the agent dies at each command to a host|carried out once though the agent dies|leaves nothing over, whenever the agent has died/],
  ['F33', /a cut at any byte loses the last line|any flipped bit of a whole line|a torn (end is cut off|last line is ignored)|on a full disk keeps the old journal|a full disk refuses the record/],
];

/** { fault: { passed, failed } } of a stage's result. */
export function countBeside(result) {
  const counts = {};
  for (const { fullName, status } of result.testResults.flatMap((file) => file.assertionResults)) {
    for (const [fault, title] of SHOWN) {
      if (!title.test(fullName) || !['passed', 'failed'].includes(status)) continue;
      counts[fault] ??= { passed: 0, failed: 0 };
      counts[fault][status] += 1;
    }
  }
  return counts;
}

const read = () => (existsSync(FILE) ? JSON.parse(readFileSync(FILE, 'utf8')) : {});

export function noteBeside(stage, result) {
  mkdirSync(dirname(FILE), { recursive: true });
  writeFileSync(FILE, JSON.stringify({ ...read(), [stage]: countBeside(result) }));
}

/** `12 passed beside the code`, or undefined. */
export function besideText(fault, noted = read()) {
  const of = Object.values(noted).flatMap((counts) => counts[fault] ?? []);
  const [passed, failed] = ['passed', 'failed'].map((status) => of.reduce((sum, counts) => sum + counts[status], 0));
  if (passed + failed === 0) return undefined;
  return `${passed} passed${failed > 0 ? `, **${failed} failed**` : ''} beside the code`;
}
