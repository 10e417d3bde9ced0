// The part of docs/faults.md about the task engine: every step of every kind of task, and how often each fault has met it,
// from what the proofs of the integration stage have noted.
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { REPO } from '../lab.d/layout.mjs';
import { table } from './matrix-report.mjs';
import { PARTS, writePart } from './page-parts.mjs';

const FILE = join(REPO, '.lab-matrix', 'proofs.ndjson');

/** Column, the fault as the proofs call it, and the same in the undo of the step. */
const COLUMNS = [
  ['worker killed', 'worker killed', 'worker killed in the undo'],
  ['worker stopped and thawed', 'worker thawed', 'worker thawed in the undo'],
  ['fails', 'step fails'],
  ['runs twice', 'step twice'],
  ['undone twice', null, 'undo twice'],
  ['agent killed', 'agent killed'],
  ['stuck, retried', 'stuck, retried'],
];

/** What a task is at when it is cancelled, and the fault as the proofs call it. */
const CANCELS = [
  ['no worker yet', 'cancelled, no worker'],
  ['at work', 'cancelled'],
  ['no slot', 'cancelled, no slot'],
  ['host silent', 'cancelled, host silent'],
  ['service silent', 'cancelled, service silent'],
  ['on its way back', 'cancelled on its way back'],
];

/** Begins a note of its own for a run of all proofs; the proofs find it by their environment. */
export function beginProofs() {
  mkdirSync(dirname(FILE), { recursive: true });
  rmSync(FILE, { force: true });
  process.env.TOK_TEST_PROOFS = FILE;
}

/** `Map.groupBy` is younger than the Node that a machine may begin with. */
function grouped(items, keyOf) {
  const groups = new Map();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups;
}

const sum = (numbers) => numbers.reduce((total, one) => total + one, 0);

/** How often a fault met a step, and all was right. */
const count = (of, fault, step) => sum(of.filter((note) => note.fault === fault && note.state === 'passed').map(({ cells }) => cells.filter((cell) => cell === step).length));
const missed = (of, fault) => of.some((note) => note.fault === fault && note.state === 'failed');

/** Accepted before the point of no return; refused behind it, and on the way back from a failure. */
function cancelPart(kinds) {
  const total = { accepted: 0, refused: 0 };
  const cell = (of, { name, noReturn }, fault) => {
    if (missed(of, fault)) return '**failed**';
    const met = count(of, fault, name);
    if (met === 0) return '–';
    const how = fault !== 'cancelled, no worker' && (noReturn || fault === 'cancelled on its way back') ? 'refused' : 'accepted';
    total[how] += met;
    return how === 'refused' ? `${met} refused` : String(met);
  };
  const rows = kinds.flatMap(([kind, of]) => of[0].steps.map((step) => [kind, step.name, ...CANCELS.map(([, fault]) => cell(of, step, fault))]));
  return [
    '### Cancel', '',
    'Every kind of task is cancelled at every step, whatever it is at: before a worker has it, while the step works, while it waits for a slot, for a host',
    'or for a service that has done what it was asked and does not answer, and while an undo waits on the way back from a failure. A cancel before the point of no',
    'return is accepted, and the task has ended as cancelled within 30 s with its object as it was; behind it, and on the way back, it is refused, and',
    'the task comes to its end. While a host that has been told something stays silent, a task that turns back waits for it and says so: what its VM does cannot be known otherwise.', '',
    `${total.accepted} accepted, ${total.refused} refused as declared, ${rows.flat().filter((text) => text === '–').length} cells skipped because the step waits for nothing of the kind.`, '',
    ...table(['kind', 'step', ...CANCELS.map(([name]) => name)], rows), '',
  ];
}


/** `notes` are lines of the proofs; `points` the agent's fault points that its tests use, by host command. */
export function proofText(notes, points) {
  const kinds = [...grouped(notes, ({ kind }) => kind)].sort(([a], [b]) => (a < b ? -1 : 1));
  const cell = (of, step, undo, [, forward, back]) => {
    const parts = [forward === null ? [] : [[forward, count(of, forward, step)]], back === undefined ? [] : [[back, undo ? count(of, back, step) : null]]].flat();
    return parts.map(([fault, met]) => (missed(of, fault) ? '**failed**' : met === null || met === 0 ? '–' : String(met))).join(' + ');
  };
  const rows = kinds.flatMap(([kind, of]) => of[0].steps.map(({ name, undo }) => [kind, name, ...COLUMNS.map((column) => cell(of, name, undo, column))]));
  const failed = notes.filter(({ state }) => state === 'failed').length;
  const skipped = rows.flat().filter((text) => typeof text === 'string' && text.split(' + ').includes('–')).length;
  return [
    PARTS.tasks.begin, '## The faults of the task engine', '',
    'Every kind of task is put through every fault at every step, beside the code, on the real database: one task for each point, before the work of the',
    'step and behind it, with its answer not yet recorded. Each must end as declared, and what is in the schemas and on the host must be exactly what',
    'this end means: no row, file, port, claim or lock is left. A worker that is stopped past its claim is thawed when another has brought the task to',
    'its end, and what it does then changes nothing. The agent dies at each command once, before its effect and behind it, and is asked again.', '',
    'A number is how often the fault met the step and all was right (`+` = in its undo); `–` = it cannot: there is no undo, no command to a host that the',
    'task waits for, or it is past the point of no return.', '',
    `${kinds.length} kinds, ${rows.length} steps: ${sum(notes.filter(({ state }) => state === 'passed').map(({ cells }) => cells.length))} passed, ${failed} proofs failed, ${skipped} cells skipped because they cannot be.`, '',
    ...table(['kind', 'step', ...COLUMNS.map(([name]) => name)], rows), '',
    ...cancelPart(kinds),
    '### The agent, between intent, effect and record', '',
    'Points at which its own tests let the real agent die. The table of services/host-agent/src/faults has a row for every command that the registry says is',
    'lasting, and kills the agent with the intent in the journal, behind the effect (`vm.release:done`: QEMU is gone, and its ports are taken away), and with the',
    'result on record. The other points lie within an effect.', '',
    ...table(['command', 'points'], Object.entries(points).sort(([a], [b]) => (a < b ? -1 : 1)).map(([command, names]) => [command, names.join(', ')])), '',
    PARTS.tasks.end, '',
  ].join('\n');
}

/** The points of the agent that its tests name, by command; a row of the table of kills has three, of which it names one. */
export function agentPoints(dir = join(REPO, 'services/host-agent/src')) {
  const texts = (ending) => readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith(ending)).map((name) => readFileSync(join(dir, name), 'utf8'));
  const named = texts('.it.ts').flatMap((text) => [...text.matchAll(/'((?:vm|volume|switch|upload)\.[a-z-]+):([a-z]+)'/g)].map(([, command, point]) => ({ command, point })));
  const rows = texts('-rows.fixture.ts').flatMap((text) => [...text.matchAll(/command: host(\w+), (?:about: '[^']*', )?behind: '([^']+)'/g)].flatMap(([, name, behind]) => {
    const command = commandOf(name);
    return ['intent', behind.startsWith(`${command}:`) ? behind.slice(command.length + 1) : behind, 'done'].map((point) => ({ command, point }));
  }));
  const found = [...named, ...rows];
  return Object.fromEntries([...grouped(found, ({ command }) => command)].map(([command, all]) => [command, [...new Set(all.map(({ point }) => point))].sort()]));
}

/** `VmPowerOff` is `vm.power-off`. */
function commandOf(name) {
  const [noun, ...verb] = name.split(/(?=[A-Z])/).map((word) => word.toLowerCase());
  return `${noun}.${verb.join('-')}`;
}

/** Nothing is written of a run in which no proof ran. */
export function writeProofReport(say) {
  if (!existsSync(FILE)) return;
  writePart('tasks', proofText(readFileSync(FILE, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line)), agentPoints()), say);
}
