import { describe, expect, it } from '@jest/globals';
import { chainStart, newUuid } from '#kernel';
import type { UserId } from '#contracts';
import { chained, flawsOf, linkFlaws, linkSealOf } from './audit-chain.ts';
import type { ChainRow, Link } from './audit-chain.ts';
import { gapOf, readable, recordOf } from './audit-record.ts';
import type { AuditRecord } from './audit-record.ts';

const master = Buffer.alloc(32, 7);
const actor = { userId: newUuid() as UserId, handle: 'ann' };
const record = (n: number): AuditRecord => ({
  id: newUuid(), at: `2026-01-01T00:00:0${n}.000Z`, source: 'compute', operation: 'compute.vm.start', door: 'rest', actor, claimed: null, service: null, address: null,
  object: { noun: 'vm', id: newUuid() }, outcome: 'started', code: null, taskId: newUuid(), traceId: 'f'.repeat(32), times: 1, since: null,
});
const start = { seq: 0, hash: chainStart };

function chain(length: number): { rows: ChainRow[]; head: Link } {
  const rows: ChainRow[] = [];
  for (let n = 1; n <= length; n++) rows.push(chained(master, rows.at(-1) ?? start, record(n)));
  const { seq, hash } = rows.at(-1) ?? start;
  return { rows, head: { seq, hash, seal: linkSealOf(master, 'head', { seq, hash }) } };
}
const found = (rows: readonly ChainRow[], head: Link) => flawsOf(master, { from: 1, before: chainStart, rows, head }).map(({ seq, flaw }) => [seq, flaw]);
const replaced = (rows: readonly ChainRow[], index: number, over: Partial<ChainRow>): ChainRow[] => rows.map((row, at) => (at === index ? { ...row, ...over } : row));

describe('the chain', () => {
  it('is without flaw as it was written, also read in stretches', () => {
    const { rows, head } = chain(9);
    expect(found(rows, head)).toEqual([]);
    expect(flawsOf(master, { from: 1, before: chainStart, rows: rows.slice(0, 4) })).toEqual([]);
    expect(flawsOf(master, { from: 5, before: rows[3]!.hash, rows: rows.slice(4), head })).toEqual([]);
  });
  it('names a row whose record was altered, and no other', () => {
    const { rows, head } = chain(9);
    expect(found(replaced(rows, 4, { record: rows[4]!.record.replace('ann', 'bob') }), head)).toEqual([[5, 'altered']]);
    expect(found(replaced(rows, 4, { record: 'no JSON' }), head)).toEqual([[5, 'altered']]);
  });
  it.each(['operation', 'door', 'actorId', 'actorHandle', 'objectId', 'outcome', 'traceId', 'at', 'id'] as const)('names a row whose column %s says another thing than its record', (column) => {
    const { rows, head } = chain(3);
    expect(found(replaced(rows, 1, { [column]: 'other' }), head)).toEqual([[2, 'altered']]);
  });
  it('names rows that are gone: within, at the beginning, at the end', () => {
    const { rows, head } = chain(9);
    expect(found(rows.filter(({ seq }) => seq !== 4 && seq !== 5), head)).toEqual([[4, 'missing']]);
    expect(found(rows.slice(1), head)).toEqual([[1, 'missing']]);
    expect(found(rows.slice(0, -2), head)).toEqual([[8, 'missing']]);
    expect(found([], head)).toEqual([[1, 'missing']]);
  });
  it('names rows that changed places', () => {
    const { rows, head } = chain(5);
    const moved = rows.map((row, at) => (at === 1 ? { ...rows[2]!, seq: 2 } : at === 2 ? { ...rows[1]!, seq: 3 } : row));
    expect(found(moved, head).map(([seq]) => seq)).toEqual([2, 3, 4]);
  });
  it('names a row that somebody chained anew without the master key', () => {
    const { rows, head } = chain(3);
    const forged = chained(Buffer.alloc(32, 8), rows[1]!, record(3));
    expect(found([...rows.slice(0, 2), forged], { ...head, hash: forged.hash })).toEqual([[3, 'unsealed'], [3, 'head']]);
  });
  it('names a head that was set back, with rows behind it', () => {
    const { rows, head } = chain(4);
    const { seq, hash } = rows[1]!;
    expect(found(rows, { seq, hash, seal: linkSealOf(master, 'head', { seq, hash }) })).toEqual([[4, 'head']]);
    expect(found(rows, { ...head, seal: 'x' })).toEqual([[4, 'head']]);
  });
  it('begins with links that nobody has sealed yet', () => {
    expect(linkFlaws(master, 'base', { ...start, seal: '' })).toEqual([]);
    expect(linkFlaws(master, 'base', { seq: 5, hash: chainStart, seal: '' })).toMatchObject([{ flaw: 'base' }]);
  });
});

describe('what comes from a service', () => {
  const event = { id: newUuid(), at: '2026-01-01T00:00:00.000Z', source: 'compute' };
  it('is kept with what this version does not know left out', () => {
    const { id, at, source, ...facts } = record(1);
    expect(recordOf({ id, at, source, data: { ...facts, later: true } })).toEqual({ record: { id, at, source, ...facts }, isReadable: true });
  });
  it('is kept as unreadable where it is, so that it holds nothing up', () => {
    expect(recordOf({ ...event, data: { operation: 7 } })).toMatchObject({ record: { ...event, operation: 'compute.audit.unreadable', object: { id: event.id } }, isReadable: false });
  });
  it('is a gap where it is lost', () => {
    expect(gapOf(event, 3, 9)).toMatchObject({ operation: 'auth.audit.gap', object: { id: 'compute:3-9' } });
  });
  it('reads as unreadable where somebody broke the row', () => {
    expect(readable('{')).toMatchObject({ operation: 'auth.audit.unreadable' });
  });
});
