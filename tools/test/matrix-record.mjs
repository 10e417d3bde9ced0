// What has passed of the kill matrix, kept in the repository: the whole takes hours, so it is gone through in parts, by
// several runs on several checkouts. Kept is, for each set of victims, which kinds have passed at every point that they
// have. A kind that gets or loses a point is forgotten and gone through anew.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { REPO } from '../lab.d/layout.mjs';
import { writeWhole } from '../lab.d/files.mjs';

export const RECORD_FILE = join(REPO, 'docs', 'kill-matrix.json');

/**
 * { points: kind → its points as `<place> <step>`, sets: [{ victims, kinds, commit, day }] }; victims and kinds are sorted, a set
 * of victims has an entry for each commit, and a kind is in one of them: that of the run which made it whole.
 */
export const readRecord = (file = RECORD_FILE) => (existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : { points: {}, sets: [] });

const nameOf = ({ place, step }) => `${place} ${step}`;
const victimsOf = (set) => [...set.victims].sort().join('+');
/** Map.groupBy, which Node.js 20 lacks. */
function grouped(items, keyOf) {
  const groups = new Map();
  for (const item of items) {
    const key = keyOf(item);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(item);
  }
  return groups;
}
const isSame = (one, other) => one !== undefined && other !== undefined && [...one].sort().join() === [...other].sort().join();

/** The record with what these cells add to it, under the points that the kinds have now; `seen` = { commit, day }. */
export function withCells(record, points, cells, seen) {
  const sets = record.sets.map((set) => ({ ...set, kinds: set.kinds.filter((kind) => isSame(record.points[kind], points[kind])) }));
  for (const [victims, of] of grouped(cells, victimsOf)) {
    const known = new Set(sets.filter((set) => victimsOf(set) === victims).flatMap(({ kinds }) => kinds));
    const passed = grouped(of.filter(({ state }) => state === 'passed'), ({ kind }) => kind);
    const whole = Object.keys(points).filter((kind) => !known.has(kind) && isSame(passed.get(kind)?.map(nameOf), points[kind]));
    const entry = sets.find((set) => victimsOf(set) === victims && set.commit === seen.commit && set.day === seen.day);
    if (entry !== undefined) entry.kinds = [...entry.kinds, ...whole].sort();
    else sets.push({ victims: victims.split('+'), kinds: whole.sort(), ...seen });
  }
  const order = (set) => [set.victims.length, victimsOf(set), set.day, set.commit].join(' ');
  return { points, sets: sets.filter(({ kinds }) => kinds.length > 0).sort((a, b) => (order(a) < order(b) ? -1 : 1)) };
}

/** The cells that the record stands for; all have passed. */
export const cellsOf = ({ points, sets }) => sets.flatMap(({ victims, kinds }) => kinds.flatMap((kind) => points[kind].map((name) => {
  const [place, step] = name.split(' ');
  return { kind, step, place, victims, state: 'passed', why: null };
})));

/** One line for each set, so that a change can be read. */
export function recordText({ points, sets }) {
  const lines = (items) => items.map((item) => `    ${item}`).join(',\n');
  return `{\n  "points": {\n${lines(Object.entries(points).map(([kind, names]) => `${JSON.stringify(kind)}: ${JSON.stringify(names)}`))}\n  },\n  "sets": [\n${lines(sets.map((set) => JSON.stringify(set)))}\n  ]\n}\n`;
}

export const writeRecord = (record, file = RECORD_FILE) => writeWhole(file, recordText(record));
