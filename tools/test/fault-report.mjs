// Writes docs/faults.md from the results of the fault tests: every fault of the plan with what its tests showed, so that
// a reader sees what is proven, what is not, and what is not tested yet. A test says in its title which fault it is, and
// "in part" when it shows less than the plan asks for.
import { execFileSync } from 'node:child_process';
import { REPO } from '../lab.d/layout.mjs';
import { besideText } from './beside-the-code.mjs';
import { MATRIX_FILE, PLAN_FILE } from './matrix-options.mjs';
import { cellsOf, readRecord, withCells, writeRecord } from './matrix-record.mjs';
import { lastOf, matrixText, ofPlan, readCells, readPlan } from './matrix-report.mjs';
import { currentPart, writePart } from './page-parts.mjs';

/** The plan: number, fault, what must happen. */
export const plan = [
  ['F1', 'agent of a host with VMs killed, started again', 'no guest notices; all adopted'],
  ['F2', 'agent stopped and continued', 'as F1; VMs unknown meanwhile, nothing starts elsewhere'],
  ['F3', 'guard stopped', 'watchdog kills; VMs restart after the lease is free'],
  ['F4', 'F3 without watchdog', 'the checker reports the overlap'],
  ['F5', 'a host’s whole control group frozen and thawed', 'dead before takeover'],
  ['F6', 'QEMU killed', 'restarted, epoch + 1'],
  ['F7', 'the whole host killed', 'restart after proof of death'],
  ['F8', 'BMC lies', 'refused; no overlap'],
  ['F9', 'host cut from the bus, both ways', 'VMs run, no fences; heals'],
  ['F10', 'host cut from the bus, one way', 'VMs run, no fences; heals'],
  ['F11', '40 % packet loss', 'no fences; effects exactly once'],
  ['F12', 'storage lost on one host', 'dead by H and restarted'],
  ['F13', 'storage flapping', 'no kills'],
  ['F14', 'storage hung on all hosts', 'freeze'],
  ['F15', 'two HA leaders, the old one thawed late', 'one start'],
  ['F16', 'wall clock jumps', 'no decision changes'],
  ['F17', 'clock rate differs', 'no decision changes'],
  ['F18', 'NATS killed for long', 'VMs run; all tasks end; effects once'],
  ['F19', 'NATS stopped', 'VMs run; all tasks end; effects once'],
  ['F20', 'NATS killed again and again under tasks', 'VMs run; all tasks end; effects once'],
  ['F21', 'JetStream’s disk full', 'outbox holds and drains later'],
  ['F22', 'the store of EVENTS deleted', 'consumers fill the gap; nothing lost'],
  ['F23', 'database killed under load', 'acknowledged work is there'],
  ['F24', 'database full', 'acknowledged work is there'],
  ['F25', 'database cut right after COMMIT', 'retry gives the same task'],
  ['F26', 'Redis killed', 'tasks end'],
  ['F27', 'Redis flushed, full, wrong policy', 'tasks end; services refuse an evicting Redis'],
  ['F28', 'worker killed in the middle of tasks', 'resumes or undoes; clean slate'],
  ['F29', 'worker stopped', 'the thawed worker writes nothing'],
  ['F30', 'worker failed at every step of every kind', 'everything undone; nothing left'],
  ['F31', 'every step and undo twice', 'the second changes nothing'],
  ['F32', 'agent killed between intent, effect and record', 'the probe decides'],
  ['F33', 'host journal full, torn, damaged', 'loud error, VMs kept'],
  ['F34', 'live migration, killed at each phase', 'exactly one QEMU with the lease'],
  ['F35', 'datastore full in a copy', 'copy undone'],
  ['F36', '30 % and 100 % of hosts silent', 'freeze'],
  ['F37', 'fenced host returns', 'quarantine'],
  ['F38', 'two hosts with one id', 'second refused'],
  ['F39', 'rolling restart of all services under load', 'no failed acknowledged task'],
  ['F40', 'one hour of random faults', 'all invariants'],
];

const stateOf = (tests) => {
  const failed = tests.filter((test) => test.status === 'failed').length;
  const skipped = tests.filter((test) => !['passed', 'failed'].includes(test.status)).length;
  const passed = tests.length - failed - skipped;
  return [passed > 0 ? `${passed} passed` : '', failed > 0 ? `**${failed} failed**` : '', skipped > 0 ? `${skipped} skipped` : ''].filter(Boolean).join(', ');
};

/** What `npm run chaos -- --outages` shows at the length that the plan asks for. */
const AT_LENGTH = ['F18', 'F19'];
const passedAtLength = () => (currentPart('outages').includes('**passed**') ? AT_LENGTH : []);

/** The page's text from jest's JSON result; `atLength`: faults that a run of their own has shown whole. */
export function reportText(result, atLength = passedAtLength()) {
  const tests = result.testResults.flatMap((file) => file.assertionResults);
  const numbersOf = (test) => test.fullName.match(/\bF\d{1,2}\b/g) ?? [];
  const inPart = (number, of) => (of.length > 0 && of.every((test) => test.fullName.includes(`${number} in part`)) ? ', in part' : '');
  const rows = plan.map(([number, fault, expected]) => {
    const of = tests.filter((test) => numbersOf(test).includes(number));
    const shown = [of.length > 0 ? `${stateOf(of)}${inPart(number, of)}` : '', atLength.includes(number) ? 'passed at full length (the long outages)' : '', besideText(number) ?? ''].filter(Boolean).join('; ');
    return `| ${number} | ${fault} | ${expected} | ${shown || 'not tested here'} |`;
  });
  const proven = plan.filter(([number]) => tests.some((test) => test.status === 'passed' && numbersOf(test).includes(number))).length;
  const count = (...states) => tests.filter((test) => states.includes(test.status)).length;
  return [
    '# Faults', '',
    'Written by `npm run test:faults`: what was done to a running pool, and what its tests showed. What is not tested here needs parts that the',
    'pool does not have yet. "Beside the code" are tests of the unit and integration stages, which need no pool.', '',
    'For F32, services/host-agent/src/faults kills the agent as it is delivered over every command that the registry says is lasting: with its',
    'intent in the journal, behind its effect, and with its result on record before the answer. The next agent must answer as one that was not',
    'killed, with the effect there once, whether it is asked once or again.', '',
    `${tests.length} tests: ${count('passed')} passed, ${count('failed')} failed, ${tests.length - count('passed', 'failed')} skipped. ${proven} of ${plan.length} faults have a test that passed.`, '',
    '| # | fault | must happen | shown |', '|---|---|---|---|', ...rows, '',
    '## Tests', '',
    ...tests.map((test) => `- ${test.status}: ${test.fullName}`).sort(),
    '',
  ].join('\n');
}

/** Only a whole run is written down; the parts of other runs stay as they wrote them. */
export function writeFaultReport(result, say) {
  writePart('own', reportText(result), say);
}

/** Adds what the matrix has come to to its record, and puts both in the place of what stood on the page before. */
export function writeMatrixReport(say) {
  const points = readPlan(PLAN_FILE);
  const cells = ofPlan(readCells(MATRIX_FILE), points);
  const record = withCells(readRecord(), points, cells, { commit: commitHere(), day: new Date().toISOString().slice(0, 10) });
  writeRecord(record);
  writePart('matrix', matrixText(lastOf([...cellsOf(record), ...cells]), points, record.sets), say);
}

/** The commit, with a `+` where the tree has changed since. */
function commitHere() {
  const git = (...words) => execFileSync('git', words, { cwd: REPO, encoding: 'utf8' }).trim();
  return `${git('rev-parse', '--short=12', 'HEAD')}${git('status', '--porcelain', '--untracked-files=no') === '' ? '' : '+'}`;
}
