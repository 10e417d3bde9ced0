// The part of docs/faults.md about the kill matrix, from the cells that its runs have recorded: the last outcome of each
// cell counts.
import { existsSync, readFileSync } from 'node:fs';
import { PARTS } from './page-parts.mjs';

const NAMES = ['auth', 'network', 'storage', 'templates', 'scheduler', 'compute', 'ha', 'monitoring', 'gateway', 'nats', 'redis', 'mariadb', 'agent', 'qemu'];
/** What the cell is called that says whether a round left something behind. */
const SLATE = 'clean slate';
const STATES = ['passed', 'failed', 'skipped'];

export function readCells(file) {
  if (!existsSync(file)) return [];
  return lastOf(readFileSync(file, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line)));
}

/** Of each cell its last outcome. */
export const lastOf = (cells) => [...new Map(cells.map((cell) => [[cell.kind, cell.step, cell.place, ...[...cell.victims].sort()].join(' '), cell])).values()];

/** Without cells of points that their kind no longer has: runs before its steps changed have left them. All, before the first run. */
export const ofPlan = (cells, points) => (Object.keys(points).length === 0 ? cells : cells.filter(({ kind, step, place }) => kind === SLATE || points[kind]?.includes(`${place} ${step}`)));

/** The points of each kind, as the run has met them in the services; {} before the first run. */
export const readPlan = (file) => (existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {});

/** `12` when all of `due` passed, else `9 of 12`, with what failed or was skipped; `–` when there is nothing. */
export function countText(cells, due = 0) {
  const [passed, failed, skipped] = STATES.map((state) => cells.filter((cell) => cell.state === state).length);
  if (cells.length === 0) return '–';
  return [passed < due ? `${passed} of ${due}` : String(passed), failed > 0 ? `**${failed} failed**` : '', skipped > 0 ? `${skipped} skipped` : ''].filter(Boolean).join(', ');
}

const row = (cells) => `| ${cells.join(' | ')} |`;
export const table = (head, rows) => [row(head), row(head.map(() => '---')), ...rows.map(row)];
const sum = (numbers) => numbers.reduce((total, one) => total + one, 0);
const grouped = (number) => String(number).replaceAll(/\B(?=(\d{3})+$)/g, ',');

/** When and on which state of the code the kinds of the record have passed. */
function originText(sets) {
  if (sets.length === 0) return [];
  const days = sets.map(({ day }) => day).sort();
  const commits = [...new Set(sets.map(({ commit }) => commit))];
  return [`On record (\`docs/kill-matrix.json\`) are kinds that have passed whole under what was killed: from ${days[0]} to ${days.at(-1)}, on the commit${commits.length === 1 ? '' : 's'} ${commits.join(', ')}.`, ''];
}

/** Markdown, between its two marks; `points` = of each kind, `sets` = the entries of the record. */
export function matrixText(cells, points = {}, sets = []) {
  const plan = Object.fromEntries(Object.entries(points).map(([kind, names]) => [kind, names.length]));
  const kinds = [...new Set([...cells.map(({ kind }) => kind), ...Object.keys(plan)])].sort((a, b) => Number(a === SLATE) - Number(b === SLATE) || (a < b ? -1 : 1));
  const alone = cells.filter(({ victims }) => victims.length === 1);
  const paired = cells.filter(({ victims }) => victims.length === 2);
  const slates = cells.filter(({ kind }) => kind === SLATE);
  const real = cells.filter(({ kind }) => kind !== SLATE);
  const count = (state) => real.filter((cell) => cell.state === state).length;
  const total = sum(Object.values(plan));
  const pairs = (NAMES.length * (NAMES.length - 1)) / 2;
  const due = (kind) => plan[kind] ?? 0;
  const ofKind = (from, kind) => from.filter((cell) => cell.kind === kind);
  const stepsOf = (kind) => [...new Set(ofKind(cells, kind).map(({ step, place }) => (place.startsWith('undo-') ? `undo of ${step}` : step)))].join(', ');
  const pairOf = (one, other) => paired.filter(({ kind, victims }) => kind !== SLATE && victims.includes(one) && victims.includes(other));
  const odd = cells.filter(({ state }) => state !== 'passed');
  return [
    PARTS.matrix.begin, '## The kill matrix', '',
    'A task is held at each point of its kind: before the work of a step, and behind it with the answer not yet recorded; the same in the undo of',
    'a step, on the way back of a task that was made to fail at the last step from which it can turn back. While tasks stand at all their points,',
    'parts of the pool are killed (`agent`: those of all hosts; `qemu`: all guests), the tasks are let go, and what died is started again. Each task',
    'must end as declared: succeeded, or failed with everything undone where it was on its way back (or where the guest that it works on is what',
    'died). Each VM must have exactly the QEMU that its state says, and the row "clean slate" says for each kill that nothing was left over: what',
    'locks, claims, ports, addresses, uids, volumes, files and QEMUs there are is what the VMs, volumes and images account for, and no task is open.',
    'At the end of a run all is removed, and the pool must be as it was before it.', '',
    'A cell is a point and what was killed. A number is the cells passed; `9 of 12` means that the others were not gone through yet, `–` that none was.', '',
    ...(total === 0 ? [] : [`The whole: ${grouped(total)} points of ${Object.keys(plan).length} kinds, killed ${NAMES.length} times alone and ${pairs} times in pairs: ${grouped(total * (NAMES.length + pairs))} cells, ${grouped(total * NAMES.length)} of them alone.`, '']),
    `Gone through: ${grouped(real.length)} cells, ${grouped(count('passed'))} passed, ${grouped(count('failed'))} failed, ${grouped(count('skipped'))} skipped. Kills that left nothing over: ${slates.filter(({ state }) => state === 'passed').length} of ${slates.length}.`, '',
    ...originText(sets),
    ...table(['kind', 'points', ...NAMES, 'in pairs'], kinds.map((kind) => [kind, due(kind) || '', ...NAMES.map((name) => countText(ofKind(alone, kind).filter(({ victims }) => victims[0] === name), due(kind))), countText(ofKind(paired, kind), due(kind) * pairs)])), '',
    '### Killed together', '',
    ...table(['', ...NAMES.slice(1)], NAMES.slice(0, -1).map((one, at) => [one, ...NAMES.slice(1).map((other, column) => (column < at ? '' : countText(pairOf(one, other), total)))])), '',
    '### Steps met', '',
    ...kinds.filter((kind) => kind !== SLATE).map((kind) => `- ${kind}: ${stepsOf(kind)}`), '',
    ...(odd.length === 0 ? [] : ['### Failed or skipped', '', ...odd.map(({ kind, step, place, victims, state, why }) => `- ${state}: ${kind}, ${place} ${step}, ${victims.join(' and ')} killed: ${String(why).replaceAll(/\s+/g, ' ').slice(0, 300)}`), '']),
    PARTS.matrix.end, '',
  ].join('\n');
}
