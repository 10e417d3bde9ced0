// The event log: every event of every service once, under a number of one sequence.
import type { DataSource, EntityManager } from 'typeorm';
import { eventsGone, isGone, type EventEnvelope, type EventFilter, type InputOf, type LogEntry, type LoggedEvent, type ReplyOf, type listEvents } from '#contracts';
import { allOf, anyOf, execute, fromJson, insertRows, selectRow, selectRows, sql, toJson, transaction, type Queryable, type Sql, type Who } from '#database';
import { wireFault } from '#tasks';
import type { z } from 'zod';
import { findScopes, scopeFilter, scopeJoin } from '../scope/scope.store.ts';
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

/** Logs those that are not yet, under the next numbers, in this order. */
export async function logEvents(tx: EntityManager, events: readonly EventEnvelope[]): Promise<void> {
  // The row's lock makes concurrent consumers wait here, so what one has written the next one sees.
  const { last } = await reachOf(tx, 'FOR UPDATE');
  const { sql: text, params } = sql`SELECT event_id FROM event_log WHERE event_id IN (${events.map(({ id }) => id)})`;
  const known = new Set((await selectRows<{ event_id: string }>(tx, text, params)).map((row) => row.event_id));
  const fresh = [...new Map(events.map((event) => [event.id, event])).values()].filter(({ id }) => !known.has(id));
  if (fresh.length === 0) return;
  const owners = await ownersOf(tx, fresh);
  const rows = fresh.map((event, index) => {
    const logged = toJson(event);
    return {
      global_seq: last + 1 + index, event_id: event.id, source: event.source, name: event.name, object_id: event.objectId, subject_id: subjectOf(event),
      actor_id: event.actor?.userId ?? null, owner_id: owners[index] ?? null, at: new Date(event.at), event: logged, bytes: Buffer.byteLength(logged),
    };
  });
  await insertRows(tx, 'event_log', rows);
  await execute(tx, 'UPDATE event_sequence SET last_seq = ?, kept_bytes = kept_bytes + ? WHERE singleton = 1', [last + fresh.length, rows.reduce((sum, { bytes }) => sum + bytes, 0)]);
}

/** Whose objects the events are about; what one of them says holds for those behind it too. */
async function ownersOf(tx: EntityManager, events: readonly EventEnvelope[]): Promise<(string | null)[]> {
  const told = await ownersBefore(tx, events.filter((event) => ownerOf(event) === null));
  return events.map((event) => {
    const owner = ownerOf(event) ?? told.get(keyOf(event)) ?? null;
    told.set(keyOf(event), owner);
    return owner;
  });
}

const keyOf = ({ source, objectId }: Pick<EventEnvelope, 'source' | 'objectId'>): string => `${source} ${objectId}`;

/** An object that is gone has nobody to say whose it was; the event before does, or what was kept of it. */
async function ownersBefore(tx: EntityManager, events: readonly EventEnvelope[]): Promise<Map<string, string | null>> {
  const asked = [...new Map(events.map((event) => [keyOf(event), event])).values()];
  if (asked.length === 0) return new Map();
  const last = asked.map(({ source, objectId }) => sql`(SELECT source, object_id, owner_id FROM event_log WHERE object_id = ${objectId} AND source = ${source} ORDER BY global_seq DESC LIMIT 1)`);
  const rows = await selectRows<{ source: string; object_id: string; owner_id: string | null }>(tx, last.map(({ sql: text }) => text).join(' UNION ALL '), last.flatMap(({ params }) => params));
  const owners = new Map(rows.map((row) => [keyOf({ source: row.source, objectId: row.object_id }), row.owner_id]));
  const unknown = asked.filter((event) => (owners.get(keyOf(event)) ?? null) === null);
  const scopes = unknown.length === 0 ? undefined : await findScopes(tx, unknown.map(({ objectId }) => objectId));
  for (const event of unknown) owners.set(keyOf(event), scopes?.get(event.objectId)?.ownerId ?? null);
  return owners;
}

export interface Reach {
  /** The number of the newest event, also when it is kept no longer. */
  readonly last: number;
  /** From here on none is missing; `last` + 1 when none is kept. */
  readonly first: number;
  readonly bytes: number;
}

export async function reachOf(tx: Queryable, lock = ''): Promise<Reach> {
  const row = await selectRow<{ last_seq: number | string; first_seq: number | string; kept_bytes: number | string }>(tx, `SELECT last_seq, first_seq, kept_bytes FROM event_sequence WHERE singleton = 1 ${lock}`);
  return { last: Number(row?.last_seq ?? 0), first: Number(row?.first_seq ?? 1), bytes: Number(row?.kept_bytes ?? 0) };
}
export const lastSeq = async (tx: Queryable): Promise<number> => (await reachOf(tx)).last;

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
  const order = input.latest ? 'DESC' : 'ASC';
  const rows = await selectRows<Row>(tx,
    `SELECT event_log.global_seq, event_log.event FROM event_log ${scopeJoin('event_log.subject_id')} WHERE ${where.sql} ORDER BY event_log.global_seq ${order} LIMIT ?`, [...where.params, input.limit]);
  // Read behind the rows: what has been removed while they were read is not passed over in silence.
  const { first: firstSeq } = await reachOf(tx);
  const lost = !input.latest && isGone(input.after, firstSeq);
  return { items: rows.map(loggedOf), lastSeq: last, firstSeq, ...(lost ? { gone: wireFault(eventsGone(input.after, { firstSeq, lastSeq: last }), null) } : {}) };
}

interface EntryRow {
  global_seq: number | string; source: string; name: string; object_id: string; subject_id: string | null; actor_id: string | null; owner_id: string | null;
  folder_id: string | null; cluster_id: string | null; event: unknown;
}

/** A page has to fit into one message of the bus, quoted. */
const PAGE_BYTES = 600 * 1024;
const textOf = ({ global_seq: seq, event }: Pick<EntryRow, 'global_seq' | 'event'>): string => `{"globalSeq":${Number(seq)},${(typeof event === 'string' ? event : toJson(event)).trimStart().slice(1)}`;

/** An event of such a size cannot be passed on whole: what it is about stays. */
function fitting(text: string): string {
  return text.length <= PAGE_BYTES ? text : toJson({ ...fromJson<Logged>(text), data: {} });
}

const entryOf = (row: EntryRow): LogEntry => ({
  globalSeq: Number(row.global_seq), source: row.source, name: row.name, objectId: row.object_id, subjectId: row.subject_id, actorId: row.actor_id, ownerId: row.owner_id,
  folderId: row.folder_id, clusterId: row.cluster_id, text: fitting(textOf(row)),
});

/** What the filter asks, with `*` as SQL has it: names have just three parts, so it cannot mean more than one. */
function filtered({ names, objects }: EventFilter): Sql {
  return allOf([
    names === undefined ? null : anyOf(names.map((name) => (name.includes('*') ? sql`event_log.name LIKE ${name.replaceAll('*', '%')}` : sql`event_log.name = ${name}`))),
    objects === undefined ? null : sql`event_log.object_id IN (${objects}) OR event_log.subject_id IN (${objects})`,
  ]);
}

export interface EntriesWish { readonly after: number; readonly limit: number; readonly filter: EventFilter }
export interface Entries { readonly items: LogEntry[]; readonly position: number; readonly lastSeq: number; readonly firstSeq: number }

/** Events behind `after` as they are passed on, as many as one message carries. */
export async function readEntries(tx: Queryable, who: Who, { after, limit, filter }: EntriesWish): Promise<Entries> {
  const where = allOf([visible(who), sql`event_log.global_seq > ${after}`, filtered(filter)]);
  const last = await lastSeq(tx);
  const rows = await selectRows<EntryRow>(tx,
    `SELECT event_log.global_seq, event_log.source, event_log.name, event_log.object_id, event_log.subject_id, event_log.actor_id, event_log.owner_id, object_scope.folder_id, object_scope.cluster_id, event_log.event
     FROM event_log ${scopeJoin('event_log.subject_id')} WHERE ${where.sql} ORDER BY event_log.global_seq LIMIT ?`, [...where.params, limit]);
  const { first: firstSeq } = await reachOf(tx);
  const items: LogEntry[] = [];
  let room = PAGE_BYTES;
  for (const row of rows) {
    const entry = entryOf(row);
    room -= entry.text.length + 300;
    if (room < 0 && items.length > 0) break;
    items.push(entry);
  }
  const isWhole = rows.length < limit && items.length === rows.length;
  const reached = items.at(-1)?.globalSeq ?? after;
  return { items, position: isWhole ? Math.max(last, reached) : reached, lastSeq: last, firstSeq };
}

/** How much is kept: so many days, and so many at most. */
export interface Kept { readonly days: number; readonly most: number }
export interface KeptEvents extends Kept { readonly bytes: number }

interface Going { global_seq: number | string; bytes: number }

/** Removes what is too old or too much; at most `limit` rows, as the log stands still meanwhile. Answers how many. */
export function purgeEvents(db: DataSource, limit: number, { days, most, bytes: mostBytes }: KeptEvents): Promise<number> {
  return transaction(db, async (tx) => {
    const { last, bytes } = await reachOf(tx, 'FOR UPDATE');
    const tooOld = await selectRows<Going>(tx, 'SELECT global_seq, bytes FROM event_log WHERE at < UTC_TIMESTAMP(3) - INTERVAL ? DAY ORDER BY at LIMIT ?', [days, limit]);
    let left = bytes - (await remove(tx, tooOld));
    const oldest = await selectRows<Going>(tx, 'SELECT global_seq, bytes FROM event_log ORDER BY global_seq LIMIT ?', [limit - tooOld.length]);
    const staying = oldest.findIndex((row) => {
      const isTooMuch = Number(row.global_seq) <= last - most || left > mostBytes;
      if (isTooMuch) left -= row.bytes;
      return !isTooMuch;
    });
    const tooMuch = staying === -1 ? oldest : oldest.slice(0, staying);
    await remove(tx, tooMuch);
    return tooOld.length + tooMuch.length;
  });
}

/** An event that came late may be old among younger ones: `first` is behind the last that is gone, so that from there on none is missing. */
async function remove(tx: EntityManager, rows: readonly Going[]): Promise<number> {
  if (rows.length === 0) return 0;
  const seqs = rows.map((row) => Number(row.global_seq));
  const freed = rows.reduce((sum, row) => sum + row.bytes, 0);
  await execute(tx, sql`DELETE FROM event_log WHERE global_seq IN (${seqs})`);
  await execute(tx, 'UPDATE event_sequence SET first_seq = GREATEST(first_seq, ?), kept_bytes = GREATEST(0, kept_bytes - ?) WHERE singleton = 1', [Math.max(...seqs) + 1, freed]);
  return freed;
}
