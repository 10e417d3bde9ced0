// The words after `npm run test:faults --`: how much of the kill matrix is gone through, and in which order. Unknown words
// are refused.
import { mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { REPO } from '../lab.d/layout.mjs';
import { RECORD_FILE } from './matrix-record.mjs';

/** One line per cell; kept between runs of this checkout. What has passed whole goes into the record (`matrix-record.mjs`). */
export const MATRIX_FILE = join(REPO, '.lab-matrix', 'cells.ndjson');

/** The points of each kind, written by the run beside its cells. */
export const PLAN_FILE = join(dirname(MATRIX_FILE), 'plan.json');

export const MATRIX_USAGE = '--quick | --matrix [--seed N] [--only KIND] [--shard I/N] [--minutes N] [--tasks N] [--fresh]';

/** Each option: what its word must look like, and what it adds. */
const OPTIONS = {
  '--seed': [/^\d{1,9}$/, (word) => ({ seed: Number(word) })],
  '--only': [/^[a-z-]+(\.[a-z-]+){2}$/, (word) => ({ only: word })],
  '--shard': [/^[1-9]\d{0,3}\/[1-9]\d{0,3}$/, (word) => ({ shard: word.split('/').map(Number) })],
  '--tasks': [/^[1-9]\d{0,2}$/, (word) => ({ most: Number(word) })],
  '--minutes': [/^[1-9]\d{0,4}$/, (word) => ({ minutes: Number(word) })],
};

/** The sample's seed is the day: over time it comes to everything, and a run of today can be repeated today. */
export const seedOfDay = (now = Date.now()) => Math.floor(now / 86_400_000);

/**
 * Splits the words of the command line: { stages, matrix, fresh }. `matrix` is null without options of it: the sample
 * then runs beside the other fault tests.
 */
export function readWords(words) {
  const stages = [];
  const found = {};
  let mode = 'quick';
  let fresh = false;
  for (let at = 0; at < words.length; at++) {
    const word = words[at];
    if (!word.startsWith('--')) stages.push(word);
    else if (word === '--quick') mode = 'quick';
    else if (word === '--matrix') mode = 'whole';
    else if (word === '--fresh') fresh = true;
    else if (word in OPTIONS) {
      const [form, read] = OPTIONS[word];
      const value = words[++at];
      if (value === undefined || !form.test(value)) throw new Error(`${word} needs a value like ${form.source}; options: ${MATRIX_USAGE}`);
      Object.assign(found, read(value));
    } else throw new Error(`There is no option ${word}. There are: ${MATRIX_USAGE}`);
  }
  if (found.shard && found.shard[0] > found.shard[1]) throw new Error(`--shard ${found.shard.join('/')}: there is no such part`);
  return { stages, matrix: { mode, seed: mode === 'quick' ? seedOfDay() : 0, file: mode === 'whole' ? MATRIX_FILE : null, ...found }, fresh };
}

/** The place of the cells; `fresh` forgets what earlier runs, here and elsewhere, have come to. */
export function beginMatrix(fresh) {
  mkdirSync(dirname(MATRIX_FILE), { recursive: true });
  if (fresh) for (const file of [MATRIX_FILE, RECORD_FILE]) rmSync(file, { force: true });
}
