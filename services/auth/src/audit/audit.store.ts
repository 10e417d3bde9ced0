// Rows of the audit log: appended one behind the other, read, and removed from the old end when they are too old. The only
// place that knows the tables.
import type { DataSource, EntityManager } from 'typeorm';
import type { AuditEntry, AuditFlaw, InputOf, listAudit, ReplyOf, SortsOf, verifyAudit } from '#contracts';
import { execute, isDuplicate, isoAt, pageQuery, selectRow, selectRows, sql, transaction } from '#database';
import type { Page, Queryable, Sql } from '#database';
import { ok } from '#kernel';
import type { Result } from '#kernel';
import type { MasterKey } from '../keys/seal.ts';
import { chained, chainOf, flawsOf, linkFlaws, linkSealOf } from './audit-chain.ts';
import type { ChainRow, Link, LinkName } from './audit-chain.ts';
import { readable } from './audit-record.ts';
import type { AuditRecord } from './audit-record.ts';

interface Row {
  seq: number | string; id: string; at: Date; operation: string; door: string; actor_id: string | null; actor_handle: string | null; object_id: string | null; outcome: string; trace_id: string | null;
  record: string; hash: string; seal: string;
}
interface LinkRow { seq: number | string; hash: string; seal: string }

const linkOf = ({ seq, hash, seal }: LinkRow): Link => ({ seq: Number(seq), hash, seal });
const rowOf = (row: Row): ChainRow => ({
  seq: Number(row.seq), id: row.id, at: isoAt(row.at), operation: row.operation, door: row.door, actorId: row.actor_id, actorHandle: row.actor_handle, objectId: row.object_id, outcome: row.outcome,
  traceId: row.trace_id, record: row.record, hash: row.hash, seal: row.seal,
});

async function link(tx: Queryable, name: LinkName, lock: 'FOR UPDATE' | 'LOCK IN SHARE MODE'): Promise<Link> {
  const row = await selectRow<LinkRow>(tx, `SELECT seq, hash, seal FROM audit_link WHERE name = ? ${lock}`, [name]);
  if (row === undefined) throw new Error(`the ${name} of the audit log is gone`);
  return linkOf(row);
}

const setLink = (tx: Queryable, master: MasterKey, name: LinkName, to: Pick<Link, 'seq' | 'hash'>): Promise<number> =>
  execute(tx, 'UPDATE audit_link SET seq = ?, hash = ?, seal = ? WHERE name = ?', [to.seq, to.hash, linkSealOf(master, name, to), name]);

/** In this order, and once for each id: what comes again is in the log already. */
export async function append(tx: EntityManager, master: MasterKey, records: readonly AuditRecord[]): Promise<void> {
  const rows = chainOf(master, await link(tx, 'head', 'FOR UPDATE'), records);
  try {
    await insert(tx, rows);
  } catch (error) {
    if (!isDuplicate(error)) throw error;
    for (const record of records) await appendAgain(tx, master, record);
    return;
  }
  await setLink(tx, master, 'head', rows.at(-1)!);
}

/** One of several that are there already, or that are not but whose numbers are. */
async function appendAgain(tx: EntityManager, master: MasterKey, record: AuditRecord): Promise<void> {
  if (await selectRow(tx, 'SELECT seq FROM audit_log WHERE id = ?', [record.id])) return;
  const head = await link(tx, 'head', 'FOR UPDATE');
  const found = await selectRow<LinkRow>(tx, 'SELECT seq, hash, seal FROM audit_log ORDER BY seq DESC LIMIT 1');
  const last = found === undefined ? head : linkOf(found);
  // Where somebody has set the head back, what comes must still be kept: it goes behind the last row that there is.
  const row = chained(master, last.seq > head.seq ? last : head, record);
  await insert(tx, [row]);
  await setLink(tx, master, 'head', row);
}

const insert = (tx: Queryable, rows: readonly ChainRow[]): Promise<number> => execute(tx,
  `INSERT INTO audit_log (seq, id, at, chained_at, operation, door, actor_id, actor_handle, object_id, outcome, trace_id, record, hash, seal) VALUES ${rows.map(() => '(?, ?, ?, UTC_TIMESTAMP(3), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)').join(', ')}`,
  rows.flatMap((row) => [row.seq, row.id, new Date(row.at), row.operation, row.door, row.actorId, row.actorHandle, row.objectId, row.outcome, row.traceId, row.record, row.hash, row.seal]));

const searched = 'l.seq, l.record, l.hash';

export async function pageOfAudit(db: Queryable, input: InputOf<typeof listAudit>): Promise<Result<Page<AuditEntry>>> {
  const { actor, objectId, operation, outcome, door, trace, since, until } = input;
  const where: (Sql | null)[] = [
    actor === undefined ? null : sql`(l.actor_id = ${actor} OR l.actor_handle = ${actor})`,
    objectId === undefined ? null : sql`l.object_id = ${objectId}`,
    operation === undefined ? null : sql`l.operation = ${operation}`,
    outcome === undefined ? null : sql`l.outcome = ${outcome}`,
    door === undefined ? null : sql`l.door = ${door}`,
    trace === undefined ? null : sql`l.trace_id = ${trace}`,
    since === undefined ? null : sql`l.at >= ${new Date(since)}`,
    until === undefined ? null : sql`l.at < ${new Date(until)}`,
  ];
  const page = await pageQuery<Pick<Row, 'seq' | 'record' | 'hash'>>(db, { select: searched, from: 'audit_log l', id: 'l.seq', input, where, preset: '-seq', orderBy: { seq: 'l.seq' } satisfies SortsOf<typeof listAudit> });
  return page.ok ? ok({ rows: page.value.rows.map(({ seq, record, hash }) => ({ ...readable(record), seq: Number(seq), hash })), next: page.value.next }) : page;
}

type Verified = ReplyOf<typeof verifyAudit>;

/** Nothing is appended or pruned while a stretch is read, so what is read fits together. */
export async function verifyStretch(db: DataSource, master: MasterKey, { from, limit, expect }: InputOf<typeof verifyAudit>): Promise<Verified> {
  const [expectedSeq = '', expectedHash] = expect?.split(':') ?? [];
  const { base, head, begin, before, rows, expected } = await transaction(db, async (tx) => {
    const links = { base: await link(tx, 'base', 'LOCK IN SHARE MODE'), head: await link(tx, 'head', 'LOCK IN SHARE MODE') };
    const start = Math.max(from, links.base.seq + 1);
    const ahead = start === links.base.seq + 1 ? links.base : await selectRow<LinkRow>(tx, 'SELECT seq, hash, seal FROM audit_log WHERE seq = ?', [start - 1]);
    const found = await selectRows<Row>(tx, 'SELECT seq, id, at, operation, door, actor_id, actor_handle, object_id, outcome, trace_id, record, hash, seal FROM audit_log WHERE seq >= ? ORDER BY seq LIMIT ?', [start, limit]);
    const kept = expect === undefined ? undefined : Number(expectedSeq) === links.base.seq ? links.base : await selectRow<LinkRow>(tx, 'SELECT seq, hash, seal FROM audit_log WHERE seq = ?', [expectedSeq]);
    return { ...links, expected: kept, begin: start, before: ahead?.hash, rows: found.map(rowOf) };
  });
  const isLast = rows.length < limit;
  const flaws: AuditFlaw[] = [
    ...(begin === base.seq + 1 ? linkFlaws(master, 'base', base) : []),
    ...(expect === undefined || expected?.hash === expectedHash ? [] : [unexpected(Number(expectedSeq), base.seq)]),
    ...flawsOf(master, { from: begin, before, rows, ...(isLast && begin <= head.seq + 1 ? { head } : {}) }),
  ];
  return { checked: rows.length, next: isLast ? null : rows.at(-1)!.seq + 1, base: { seq: base.seq, hash: base.hash }, head: { seq: head.seq, hash: head.hash }, flaws };
}

const unexpected = (seq: number, baseSeq: number): AuditFlaw =>
  (seq < baseSeq ? { seq, flaw: 'base', text: `Row ${seq} was pruned; whether it had this hash cannot be said any more.` } : { seq, flaw: 'head', text: `Row ${seq} has another hash than it had: the log was made anew.` });

/** Removes the oldest rows that are older than so many days, at most `limit`; the last of them stays as the base of the chain. */
export async function pruneAudit(tx: EntityManager, master: MasterKey, keepDays: number, limit: number): Promise<{ from: number; to: number } | undefined> {
  const base = await link(tx, 'base', 'FOR UPDATE');
  const last = await selectRow<LinkRow>(tx,
    'SELECT seq, hash, seal FROM audit_log WHERE seq <= ? AND chained_at < UTC_TIMESTAMP(3) - INTERVAL ? DAY ORDER BY seq DESC LIMIT 1', [base.seq + limit, keepDays]);
  if (last === undefined) return undefined;
  const to = linkOf(last);
  // The base first: above it the table lets nothing be deleted.
  await setLink(tx, master, 'base', to);
  await execute(tx, 'DELETE FROM audit_log WHERE seq <= ?', [to.seq]);
  return { from: base.seq + 1, to: to.seq };
}
