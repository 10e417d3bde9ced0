// The part of docs/faults.md about the kill matrix, from the cells that its runs have recorded: the last outcome of each
// cell counts.
import { existsSync, readFileSync } from 'node:fs';

const NAMES = ['auth', 'network', 'storage', 'templates', 'scheduler', 'compute', 'ha', 'monitoring', 'gateway', 'nats', 'redis', 'mariadb', 'agent', 'qemu'];
/** What the cell is called that says whether a round left something behind. */
const SLATE = 'clean slate';
const STATES = ['passed', 'failed', 'skipped'];
export const BEGIN = '<!-- the kill matrix: written by `npm run test:faults -- --matrix` -->';
export const END = '<!-- end of the kill matrix -->';

export function readCells(file) {
  if (!existsSync(file)) return [];
  const cells = readFileSync(file, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
  return [...new Map(cells.map((cell) => [[cell.kind, cell.step, cell.place, ...[...cell.victims].sort()].join(' '), cell])).values()];
}

/** `12`, or `12, **1 failed**, 2 skipped`; `–` when there is nothing. */
export function countText(cells) {
  const [passed, failed, skipped] = STATES.map((state) => cells.filter((cell) => cell.state === state).length);
  if (cells.length === 0) return '–';
  return [String(passed), failed > 0 ? `**${failed} failed**` : '', skipped > 0 ? `${skipped} skipped` : ''].filter(Boolean).join(', ');
}

const row = (cells) => `| ${cells.join(' | ')} |`;
const table = (head, rows) => [row(head), row(head.map(() => '---')), ...rows.map(row)];

/** Markdown, between its two marks. */
export function matrixText(cells) {
  const kinds = [...new Set(cells.map(({ kind }) => kind))].sort((a, b) => Number(a === SLATE) - Number(b === SLATE) || (a < b ? -1 : 1));
  const alone = cells.filter(({ victims }) => victims.length === 1);
  const paired = cells.filter(({ victims }) => victims.length === 2);
  const slates = cells.filter(({ kind }) => kind === SLATE);
  const real = cells.filter(({ kind }) => kind !== SLATE);
  const count = (state) => real.filter((cell) => cell.state === state).length;
  const stepsOf = (kind) => [...new Set(cells.filter((cell) => cell.kind === kind).map(({ step }) => step))].join(', ');
  const pairOf = (one, other) => paired.filter(({ kind, victims }) => kind !== SLATE && victims.includes(one) && victims.includes(other));
  const odd = cells.filter(({ state }) => state !== 'passed');
  return [
    BEGIN, '## The kill matrix', '',
    'A task of each kind is held at a step, before its work or behind it with the answer not yet recorded; then each part of the pool is killed',
    '(`agent`: those of all hosts; `qemu`: all guests), the task is let go, and what died is started again. The task must end as declared, each VM',
    'must have exactly the QEMU that its state says, and after the removal everything must be as it was before the round: rows, locks, claims,',
    'ports, addresses, uids, files, control groups, processes. Numbers are cells passed; a cell that was not come to yet is not counted.', '',
    `${real.length} cells: ${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped. Rounds that left nothing behind: ${slates.filter(({ state }) => state === 'passed').length} of ${slates.length} (the row "${SLATE}").`, '',
    ...table(['kind', ...NAMES, 'in pairs'], kinds.map((kind) => [kind, ...NAMES.map((name) => countText(alone.filter((cell) => cell.kind === kind && cell.victims[0] === name))), countText(paired.filter((cell) => cell.kind === kind))])), '',
    '### Killed together', '',
    ...table(['', ...NAMES.slice(1)], NAMES.slice(0, -1).map((one, at) => [one, ...NAMES.slice(1).map((other, column) => (column < at ? '' : countText(pairOf(one, other))))])), '',
    '### Steps met', '',
    ...kinds.filter((kind) => kind !== SLATE).map((kind) => `- ${kind}: ${stepsOf(kind)}`), '',
    ...(odd.length === 0 ? [] : ['### Failed or skipped', '', ...odd.map(({ kind, step, place, victims, state, why }) => `- ${state}: ${kind}, ${place} ${step}, ${victims.join(' and ')} killed: ${String(why).replaceAll(/\s+/g, ' ').slice(0, 300)}`), '']),
    END, '',
  ].join('\n');
}

/** The matrix's part of a page that exists, or ''. */
export function matrixPartOf(page) {
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)];
  return from === -1 || to === -1 ? '' : page.slice(from, to + END.length + 1);
}
