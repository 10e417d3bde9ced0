// The outbox: an event is a row of the transaction that made it true. It gets its number and leaves later (outbox.relay);
// whoever missed one asks for it by number.
import type { DataSource, EntityManager } from 'typeorm';
import type { BusContext } from '#bus';
import type { Actor, DataOf, EventDef, EventEnvelope } from '#contracts';
import { eventSubject } from '#contracts';
import { afterCommit, beforeCommit, execute, executeLater, fromJson, inPortions, selectRow, selectRows, toJson } from '#database';
import type { Queryable } from '#database';
import { newUuid } from '#kernel';

export interface Emission<E extends EventDef> {
  /** Of the event, where whoever takes it has to know it again; else a new one. */
  readonly id?: string;
  readonly objectId: string;
  readonly data: DataOf<E>;
  /** The request that caused it: its user and its trace stand in the event. */
  readonly ctx?: Pick<BusContext, 'actor' | 'traceId'>;
  /** Where there is no request: the user and trace that a task has kept. */
  readonly actor?: Pick<Actor, 'userId' | 'handle'> | null;
  readonly traceId?: string | null;
  readonly taskId?: string | null;
  /** When it happened, where the database's clock has just been read; else the statement reads it. */
  readonly at?: Date;
}

export const OUTBOX_LEASE = 'outbox';
const KEEP_SENT_DAYS = 7;
const PURGED_AT_ONCE = 1_000;
/** The way to read it: an optimiser that has no fresh statistics reads all there is. Those without a number, 0, come in the order of their ids. */
export const BY_NUMBER = 'outbox FORCE INDEX (outbox_number)';

/**
 * Says the event in the transaction, which writes all of its events at its end: in this order, but those of tasks behind those of the objects
 * they work on, so that whose a new object is has been told when its task is heard of. Throws when the data does not fit the event's contract.
 */
export function emit<E extends EventDef>(tx: EntityManager, event: E, emission: Emission<E>): Promise<void> {
  const actor = emission.ctx?.actor ?? emission.actor ?? null;
  const id = emission.id ?? newUuid();
  const envelope: Omit<EventEnvelope, 'seq' | 'at'> = {
    id, source: event.service, name: event.name, version: event.version, noun: event.noun, objectId: emission.objectId,
    actor: actor === null ? null : { userId: actor.userId, handle: actor.handle },
    traceId: emission.ctx?.traceId ?? emission.traceId ?? null,
    taskId: (emission.taskId ?? null) as EventEnvelope['taskId'],
    data: event.data.parse(emission.data) as EventEnvelope['data'],
  };
  saidIn(tx).push({ id, ofTask: event.noun === 'task', subject: eventSubject(event, emission.objectId), text: toJson(envelope).slice(1), at: emission.at ?? null });
  return Promise.resolve();
}

interface Said {
  readonly id: string;
  readonly ofTask: boolean;
  readonly subject: string;
  /** The envelope without its beginning, where its time comes. */
  readonly text: string;
  readonly at: Date | null;
}

const said = new WeakMap<EntityManager, Said[]>();

function saidIn(tx: EntityManager): Said[] {
  const known = said.get(tx);
  if (known !== undefined) return known;
  const events: Said[] = [];
  said.set(tx, events);
  beforeCommit(tx, () => write(tx, events));
  afterCommit(tx, () => { pokeRelay(tx.dataSource); });
  return events;
}

/** The time is written into the text by the statement itself, which reads the clock once: asking for it first would be a round trip. */
const SAID = `(?, ?, CONCAT('{"at":"', LEFT(DATE_FORMAT(COALESCE(?, UTC_TIMESTAMP(3)), '%Y-%m-%dT%H:%i:%s.%f'), 23), 'Z",', ?), COALESCE(?, UTC_TIMESTAMP(3)))`;

async function write(tx: EntityManager, said: readonly Said[]): Promise<void> {
  const events = said.toSorted((a, b) => Number(a.ofTask) - Number(b.ofTask));
  await executeLater(tx, `INSERT INTO outbox (event_id, subject, event, created_at) VALUES ${events.map(() => SAID).join(', ')}`,
    events.flatMap(({ id, subject, text, at }) => [id, subject, at, text, at]));
}

/** Relays of this process, by schema: told when there is something new, so that nobody waits for the next look. */
const relays = new WeakMap<DataSource, Set<() => void>>();

export function onOutboxFilled(db: DataSource, poke: () => void): () => void {
  const pokes = relays.get(db) ?? new Set();
  relays.set(db, pokes.add(poke));
  return () => { pokes.delete(poke); };
}

const pokeRelay = (db: DataSource): void => { relays.get(db)?.forEach((poke) => { poke(); }); };

export interface EventsAnswer {
  events: EventEnvelope[];
  /** The highest number given so far. */
  lastSeq: number;
  /** The lowest number still kept; `lastSeq + 1` when none is. Older events are gone. */
  firstSeq: number;
  /** All that were asked for up to this number are in the answer. */
  upTo: number;
}

/** Where not all are wanted, so many are looked at in one answer. */
const LOOKED_AT = 10_000;

/** Events behind `afterSeq`, of these nouns or of all, in order, without gaps. What `<service>.events.read` answers. */
export async function readEvents(db: Queryable, { afterSeq, limit, nouns }: { afterSeq: number; limit: number; nouns?: readonly string[] | undefined }): Promise<EventsAnswer> {
  const lease = await selectRow<{ last_seq: number | string }>(db, 'SELECT last_seq FROM relay_lease WHERE name = ?', [OUTBOX_LEASE]);
  // Not MIN, which with a condition reads the whole index.
  const first = await selectRow<{ seq: number | string }>(db, `SELECT seq FROM ${BY_NUMBER} WHERE seq > 0 ORDER BY seq LIMIT 1`);
  const lastSeq = Number(lease?.last_seq ?? 0);
  const firstSeq = Number(first?.seq ?? lastSeq + 1);
  const end = nouns === undefined ? lastSeq : Math.min(lastSeq, Math.max(afterSeq, firstSeq - 1) + LOOKED_AT);
  const rows = await selectRows<{ seq: number | string; event: unknown }>(db,
    `SELECT seq, event FROM ${BY_NUMBER} WHERE seq > ? AND seq <= ?${nouns === undefined ? '' : ` AND ${NOUN} IN (?)`} ORDER BY seq LIMIT ?`, [afterSeq, end, ...(nouns === undefined ? [] : [nouns]), limit]);
  const events = rows.map(numbered);
  return { events, lastSeq, firstSeq, upTo: events.length === limit ? events.at(-1)!.seq : Math.max(afterSeq, end) };
}

/** Of `tok.v1.evt.<service>.<noun>.<past-verb>.<objectId>`. */
const NOUN = "SUBSTRING_INDEX(SUBSTRING_INDEX(subject, '.', 5), '.', -1)";

export const numbered = (row: { seq: number | string; event: unknown }): EventEnvelope =>
  ({ ...fromJson<Omit<EventEnvelope, 'seq'>>(row.event), seq: Number(row.seq) });

/**
 * Removes what has been sent long ago, in the order of the numbers. Answers how many. The time of a row that has a number is when it got
 * that, as it is sent then.
 */
export const purgeOutbox = (db: Queryable, signal?: AbortSignal): Promise<number> => inPortions(PURGED_AT_ONCE, async (most) => {
  const oldest = await selectRows<{ seq: number | string; old: number }>(db, `SELECT seq, created_at < UTC_TIMESTAMP(3) - INTERVAL ${KEEP_SENT_DAYS} DAY AS old FROM ${BY_NUMBER}
    WHERE seq > 0 AND seq <= (SELECT sent_seq FROM relay_lease WHERE name = ?) ORDER BY seq LIMIT ?`, [OUTBOX_LEASE, most]);
  const young = oldest.findIndex(({ old }) => old === 0);
  const last = (young === -1 ? oldest : oldest.slice(0, young)).at(-1);
  return last === undefined ? 0 : execute(db, 'DELETE FROM outbox WHERE seq > 0 AND seq <= ?', [last.seq]);
}, signal);
