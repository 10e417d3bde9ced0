// Every kind of task that a service declares has been put through every fault: the table that the run of the proofs has written
// (docs/faults.md) has a row for each of its steps, and no fault that has met none of them.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { declaredKinds, rowsOf } from '../faults/kinds.ts';
import type { World } from '../e2e/world.ts';
import { root } from './services.ts';

const [, part = ''] = /^## The faults of the task engine$([^]*?)^### /m.exec(readFileSync(join(root, 'docs/faults.md'), 'utf8')) ?? [];
const rows = part.split('\n').filter((line) => /^\| [a-z-]+\.[a-z-]+\.[a-z-]+ \|/.test(line)).map((line) => line.split('|').slice(1, -1).map((cell) => cell.trim()));
const declared = declaredKinds(root);
/** Faults that meet a step of every kind; the others need an undo, a host or a way back. */
const always = { 'worker killed': 2, 'worker stopped and thawed': 3, 'fails': 4, 'runs twice': 5 } as const;

describe('the faults of the task engine', () => {
  it('have met every kind that is declared, and no other (put it through `proofs` in an *.it.ts, then npm run test:integration)', () => {
    expect([...new Set(rows.map(([kind]) => kind))].sort()).toEqual(declared);
  });
  it('have met every step, and none failed', () => {
    const unmet = rows.flatMap(([kind, step, ...cells]) => Object.entries(always).filter(([, column]) => !/^[1-9]/.test(cells[column - 2] ?? '')).map(([fault]) => `${kind ?? ''} ${step ?? ''}: ${fault}`));
    expect(unmet).toEqual([]);
    expect(part).not.toContain('failed**');
  });
  it('are met by the kill matrix and the chaos run too: each kind has a row there', () => {
    expect(declared.filter((kind) => !(kind in rowsOf({ rest: {}, record: {} } as World)))).toEqual([]);
  });
});
