// What makes a row of the audit log trustworthy: its hash, which the rows behind it build on, and its seal, which nobody makes
// without the master key. Whoever can only write to the database can neither alter a row unseen nor make the chain anew.
import type { AuditFlaw } from '#contracts';
import { canonicalJson, chainStart, linkHash } from '#kernel';
import { derive } from '../keys/seal.ts';
import type { MasterKey } from '../keys/seal.ts';
import { readable } from './audit-record.ts';
import type { AuditRecord } from './audit-record.ts';

export interface ChainRow {
  readonly seq: number; readonly id: string; readonly at: string; readonly operation: string; readonly door: string; readonly actorId: string | null; readonly actorHandle: string | null;
  readonly objectId: string | null; readonly outcome: string; readonly traceId: string | null; readonly record: string; readonly hash: string; readonly seal: string;
}
export type Link = Pick<ChainRow, 'seq' | 'hash' | 'seal'>;
export type LinkName = 'base' | 'head';

export const sealOf = (master: MasterKey, seq: number, hash: string): string => derive(master, 'audit', `row\n${seq}\n${hash}`);
export const linkSealOf = (master: MasterKey, name: LinkName, { seq, hash }: Pick<Link, 'seq' | 'hash'>): string => derive(master, 'audit', `${name}\n${seq}\n${hash}`);

/** The columns that lists search by; they must say what the record says. */
const columnsOf = (record: AuditRecord) => ({
  id: record.id, at: record.at, operation: record.operation, door: record.door, actorId: record.actor?.userId ?? null, actorHandle: record.actor?.handle ?? null,
  objectId: record.object.id, outcome: record.outcome, traceId: record.traceId,
});

/** The row of a record behind `before`. */
export function chained(master: MasterKey, before: Pick<Link, 'seq' | 'hash'>, record: AuditRecord): ChainRow {
  const seq = before.seq + 1;
  const text = canonicalJson(record);
  const hash = linkHash(before.hash, seq, text);
  return { seq, ...columnsOf(record), record: text, hash, seal: sealOf(master, seq, hash) };
}

/** The rows of several records, each behind the one before it. */
export function chainOf(master: MasterKey, before: Pick<Link, 'seq' | 'hash'>, records: readonly AuditRecord[]): ChainRow[] {
  const rows: ChainRow[] = [];
  for (const record of records) rows.push(chained(master, rows.at(-1) ?? before, record));
  return rows;
}

export interface Stretch {
  /** Where the check begins. */
  readonly from: number;
  /** The hash before the first row; undefined where that row is gone, which the stretch before has told. */
  readonly before: string | undefined;
  readonly rows: readonly ChainRow[];
  /** Given on the last stretch: what the chain must end with. */
  readonly head?: Link;
}

/** Every row of the stretch that is not as it was written, and every one that is gone. */
export function flawsOf(master: MasterKey, { from, before, rows, head }: Stretch): AuditFlaw[] {
  const flaws: AuditFlaw[] = [];
  let expected = from;
  let hash = before;
  for (const row of rows) {
    if (row.seq !== expected) {
      flaws.push({ seq: expected, flaw: 'missing', text: row.seq - expected === 1 ? `Row ${expected} is gone.` : `Rows ${expected} to ${row.seq - 1} are gone.` });
      hash = undefined;
    }
    const wrong = wrongWith(master, row, hash);
    if (wrong !== undefined) flaws.push({ seq: row.seq, ...wrong });
    expected = row.seq + 1;
    ({ hash } = row);
  }
  if (head !== undefined) flaws.push(...headFlaws(master, head, { seq: expected - 1, hash }));
  return flaws;
}

function wrongWith(master: MasterKey, row: ChainRow, before: string | undefined): Omit<AuditFlaw, 'seq'> | undefined {
  if (before !== undefined && linkHash(before, row.seq, row.record) !== row.hash) return { flaw: 'altered', text: `Row ${row.seq} (${row.id}) was altered, moved, or put in.` };
  if (sealOf(master, row.seq, row.hash) !== row.seal) return { flaw: 'unsealed', text: `Row ${row.seq} (${row.id}) was not written by this platform: its seal is wrong.` };
  const column = alteredColumn(row);
  return column === undefined ? undefined : { flaw: 'altered', text: `Row ${row.seq} (${row.id}): the column ${column} was altered.` };
}

function alteredColumn(row: ChainRow): string | undefined {
  const columns = columnsOf(readable(row.record));
  return (Object.keys(columns) as (keyof typeof columns)[]).find((name) => columns[name] !== row[name]);
}

function headFlaws(master: MasterKey, head: Link, last: { seq: number; hash: string | undefined }): AuditFlaw[] {
  if (head.seq > last.seq) return [{ seq: last.seq + 1, flaw: 'missing', text: `The log ends at row ${last.seq}; rows up to ${head.seq} were written and are gone.` }];
  if (head.seq < last.seq || (last.hash !== undefined && head.hash !== last.hash)) return [{ seq: last.seq, flaw: 'head', text: `The log ends at row ${last.seq}, and the newest link that is kept says otherwise: it was set back, or rows were put in.` }];
  return linkFlaws(master, 'head', head);
}

/** The seal of a kept link; before anything was written there is none. */
export function linkFlaws(master: MasterKey, name: LinkName, link: Link): AuditFlaw[] {
  const untouched = link.seq === 0 && link.hash === chainStart && link.seal === '';
  if (untouched || link.seal === linkSealOf(master, name, link)) return [];
  return [{ seq: link.seq, flaw: name, text: `The ${name === 'base' ? 'last pruned' : 'newest'} link that is kept was altered.` }];
}
