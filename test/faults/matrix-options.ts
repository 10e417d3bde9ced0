// What a run of the kill matrix was asked for (TOK_MATRIX, written by tools/test), and what earlier runs recorded.
import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { cellName, places } from './matrix-plan.ts';

const Options = z.strictObject({
  mode: z.enum(['quick', 'whole']).default('quick'),
  seed: z.int().default(0),
  only: z.string().nullable().default(null),
  shard: z.tuple([z.int().min(1), z.int().min(1)]).default([1, 1]),
  minutes: z.number().positive().default(Number.MAX_SAFE_INTEGER),
  /** Tasks of a round: so many at once a machine of two cores brings to their ends in good time. */
  most: z.int().min(1).default(75),
  /** Where each cell's outcome is appended; null = nowhere. */
  file: z.string().nullable().default(null),
});
export type MatrixOptions = z.output<typeof Options>;

export const matrixOptions = (text: string | undefined): MatrixOptions => Options.parse(text === undefined ? {} : JSON.parse(text));

const Line = z.object({ kind: z.string(), step: z.string(), place: z.enum(places), victims: z.array(z.string()), state: z.enum(['passed', 'failed', 'skipped']) });

/** The cells that passed before: a run goes on where the last one was ended. */
export function doneCells(file: string | null): ReadonlySet<string> {
  if (file === null || !existsSync(file)) return new Set();
  const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean).map((text) => Line.parse(JSON.parse(text)));
  return new Set(lines.filter(({ state }) => state === 'passed').map((line) => cellName(line, line.victims)));
}
