// The guide tells of every kind what the table says: who puts it right, and what must be confirmed.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { driftKindNames, rowOfDrift } from './kinds.ts';

const guide = readFileSync(join(import.meta.dirname, '../../../../docs/guides/drift.md'), 'utf8');
const rowOf = (kind: string): string[] => (guide.split('\n').find((line) => line.startsWith(`| \`${kind}\``)) ?? '').split('|').map((cell) => cell.trim());
const by = { repair: 'repaired', quarantine: 'kept', show: 'shown' } as const;

it.each(driftKindNames)('%s', (kind) => {
  const { handling, repair, final = false } = rowOfDrift(kind);
  const [, , , itself, hand = ''] = rowOf(kind);
  expect([itself, hand.includes('(confirm)'), hand === '–']).toEqual([by[handling], final, repair === null]);
});

it('what is final is never done by itself', () => {
  expect(driftKindNames.filter((kind) => rowOfDrift(kind).final === true && rowOfDrift(kind).handling === 'repair')).toEqual([]);
});
