// What a run of the kill matrix was asked for (TOK_MATRIX, written by tools/test), and what earlier runs recorded.
import { existsSync, readFileSync } from 'node:fs';
import { z } from 'zod';
import { cellsOf, readRecord, withCells } from '../../tools/test/matrix-record.mjs';
import { cellName, places, pointsOf } from './matrix-plan.ts';
import type { KindSteps } from './matrix-plan.ts';

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

/** The points that each kind has now, as the record of the matrix names them. */
export const pointNames = (registry: readonly KindSteps[]): Record<string, string[]> =>
  Object.fromEntries(registry.map((kind) => [kind.kind, pointsOf(kind).map(({ place, step }) => `${place} ${step}`)]));

/** The cells that passed before, here or on record: a run goes on where the last one was ended. */
export function doneCells(file: string | null, registry: readonly KindSteps[]): ReadonlySet<string> {
  const lines: unknown[] = file === null || !existsSync(file) ? [] : readFileSync(file, 'utf8').split('\n').filter(Boolean).map((text): unknown => JSON.parse(text));
  const recorded = cellsOf(withCells(readRecord(), pointNames(registry), [], { commit: '', day: '' }));
  return new Set([...lines, ...recorded].map((line) => Line.parse(line)).filter(({ state }) => state === 'passed').map((line) => cellName(line, line.victims)));
}
