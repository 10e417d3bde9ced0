// The event log: every event of every service once, under a number of one sequence.
import type { EntityManager } from 'typeorm';
import type { EventEnvelope, InputOf, LoggedEvent, ReplyOf, listEvents } from '#contracts';
import { allOf, anyOf, execute, fromJson, insertRow, selectRow, selectRows, sql, toJson, type Queryable, type Sql, type Who } from '#database';
import type { z } from 'zod';
import { findScope, scopeFilter, scopeJoin } from '../scope/scope.store.ts';
import { subjectOf } from '../scope/scope.ts';

type Logged = z.output<typeof LoggedEvent>;
interface Row { global_seq: number | string; event: unknown }
const loggedOf = (row: Row): Logged => ({ ...fromJson<EventEnvelope>(row.event), globalSeq: Number(row.global_seq) });

const idIn = (value: unknown): string | null => {
  if (typeof value !== 'object' || value === null || !('ownerId' in value)) return null;
  return typeof value.ownerId === 'string' ? value.ownerId : null;
};
/** Whose object the event is about, as far as it says so. */
export const ownerOf = (event: EventEnvelope): string | null => idIn(event.data) ?? Object.values(event.data).map(idIn).find((owner) => owner !== null) ?? null;

export async function logEvent(tx: EntityManager, event: EventEnvelope): Promise<void> {
  // The row's lock makes concurrent consumers wait here, so that numbers become visible in their order.
  const sequence = await selectRow<{ last_seq: number | string; known: number | string }>(tx,
    'SELECT last_seq, EXISTS (SELECT 1 FROM event_log WHERE event_id = ?) AS known FROM event_sequence WHERE singleton = 1 FOR UPDATE', [event.id]);
  if (sequence === undefined || Number(sequence.known) === 1) return;
  const next = Number(sequence.last_seq) + 1;
  await execute(tx, 'UPDATE event_sequence SET last_seq = ? WHERE singleton = 1', [next]);
  const owner = ownerOf(event) ?? (await lastOwnerOf(tx, event));
  await insertRow(tx, 'event_log', {
    global_seq: next, event_id: event.id, source: event.source, name: event.name, object_id: event.objectId, subject_id: subjectOf(event),
    actor_id: event.actor?.userId ?? null, owner_id: owner, at: new Date(event.at), event: toJson(event),
  });
}

/** An object that is gone has nobody to say whose it was; the event before does, or what was kept of it. */
async function lastOwnerOf(tx: EntityManager, event: EventEnvelope): Promise<string | null> {
  const before = await selectRow<{ owner_id: string | null }>(tx,
    'SELECT owner_id FROM event_log WHERE object_id = ? AND source = ? ORDER BY global_seq DESC LIMIT 1', [event.objectId, event.source]);
  return before?.owner_id ?? (await findScope(tx, event.objectId))?.ownerId ?? null;
}

export async function lastSeq(tx: Queryable): Promise<number> {
  const row = await selectRow<{ last_seq: number | string }>(tx, 'SELECT last_seq FROM event_sequence WHERE singleton = 1');
  return Number(row?.last_seq ?? 0);
}

/** Own deeds, own objects, and what rights cover; what happens to users is for those who may read users. */
function visible(who: Who): Sql {
  if (who === 'system') return sql`1 = 1`;
  const rights = anyOf([scopeFilter(who, 'event.read', { id: 'event_log.subject_id', ownerId: 'event_log.owner_id' }), sql`event_log.actor_id = ${who.userId}`]);
  const readsUsers = who.rights.some((right) => right.scope === 'site' && right.permissions.includes('user.read'));
  return readsUsers ? rights : allOf([rights, sql`(event_log.source <> 'auth' OR event_log.actor_id = ${who.userId})`]);
}

export async function readLog(tx: Queryable, who: Who, input: InputOf<typeof listEvents>): Promise<ReplyOf<typeof listEvents>> {
  const where = allOf([
    visible(who),
    input.latest ? null : sql`event_log.global_seq > ${input.after}`,
    input.name === undefined ? null : sql`event_log.name = ${input.name}`,
    input.objectId === undefined ? null : sql`event_log.object_id = ${input.objectId}`,
  ]);
  // Read before the rows: what is logged in between is found behind it next time, never skipped.
  const last = await lastSeq(tx);
  const first = await selectRow<{ seq: number | string | null }>(tx, 'SELECT MIN(global_seq) AS seq FROM event_log');
  const order = input.latest ? 'DESC' : 'ASC';
  const rows = await selectRows<Row>(tx,
    `SELECT event_log.global_seq, event_log.event FROM event_log ${scopeJoin('event_log.subject_id')} WHERE ${where.sql} ORDER BY event_log.global_seq ${order} LIMIT ?`, [...where.params, input.limit]);
  return { items: rows.map(loggedOf), lastSeq: last, firstSeq: Number(first?.seq ?? last + 1) };
}

/** How much is kept: so many days, and so many at most. */
export interface Kept { readonly days: number; readonly most: number }

/** Removes what is too old or too much; at most `limit` rows, so that nobody waits. Each half has its index. */
export async function purgeEvents(tx: Queryable, limit: number, { days, most }: Kept): Promise<number> {
  const tooOld = await execute(tx, 'DELETE FROM event_log WHERE at < UTC_TIMESTAMP(3) - INTERVAL ? DAY ORDER BY at LIMIT ?', [days, limit]);
  if (tooOld === limit) return limit;
  const tooMany = await execute(tx, 'DELETE FROM event_log WHERE global_seq <= ? ORDER BY global_seq LIMIT ?', [(await lastSeq(tx)) - most, limit - tooOld]);
  return tooOld + tooMany;
}
