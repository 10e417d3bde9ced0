// Rows of feeds; the only place that knows the table. All times are the database's.
import type { EntityManager } from 'typeorm';
import { feedSubject } from '#contracts';
import type { EventFeed, EventFeedId, EventFilter, InputOf, listEventFeeds, SortsOf, UserId } from '#contracts';
import { execute, fromJson, isoAt, pageQuery, selectRow, selectRows, sql, toJson } from '#database';
import type { Page, Queryable } from '#database';
import { ok } from '#kernel';
import type { Result } from '#kernel';
import type { z } from 'zod';

export type Shown = z.output<typeof EventFeed>;

interface Row {
  id: string; user_id: string; handle: string; filter: unknown; read_position: number | string; rewinds: number; lease_ms: number; created_at: Date; ends_at: Date;
}

const columns = 'f.id, f.user_id, f.handle, f.filter, f.read_position, f.rewinds, f.lease_ms, f.created_at, f.ends_at';
const shown = (row: Row): Shown => ({
  id: row.id as EventFeedId, userId: row.user_id as UserId, user: row.handle, subject: feedSubject(row.handle, row.id), filter: fromJson<EventFilter>(row.filter), read: Number(row.read_position),
  leaseMs: row.lease_ms, createdAt: isoAt(row.created_at), endsAt: isoAt(row.ends_at),
});

/** A feed as whoever serves it needs it; `rewinds` rises when everything after `read` is wanted again. */
export interface Served extends Pick<Shown, 'id' | 'user' | 'subject' | 'filter' | 'read' | 'userId'> { readonly rewinds: number }
const served = (row: Row): Served => ({ ...shown(row), rewinds: row.rewinds });

export interface NewFeed { readonly id: string; readonly userId: string; readonly handle: string; readonly filter: EventFilter; readonly read: number; readonly leaseMs: number }

export async function insertFeed(tx: EntityManager, { id, userId, handle, filter, read, leaseMs }: NewFeed): Promise<void> {
  await execute(tx, `INSERT INTO event_feed (id, user_id, handle, filter, read_position, lease_ms, created_at, ends_at)
    VALUES (?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND)`, [id, userId, handle, toJson(filter), read, leaseMs, leaseMs * 1000]);
}

export async function countFeeds(tx: Queryable, userId: string): Promise<number> {
  const row = await selectRow<{ feeds: number | string }>(tx, 'SELECT COUNT(*) AS feeds FROM event_feed WHERE user_id = ? AND ends_at > UTC_TIMESTAMP(3)', [userId]);
  return Number(row?.feeds ?? 0);
}

export interface Found { readonly shown: Shown; readonly served: Served }

export async function findFeed(db: Queryable, id: string, userId: string): Promise<Found | undefined> {
  const row = await selectRow<Row>(db, `SELECT ${columns} FROM event_feed f WHERE f.id = ? AND f.user_id = ? AND f.ends_at > UTC_TIMESTAMP(3)`, [id, userId]);
  return row && { shown: shown(row), served: served(row) };
}

/** Those of `ids` that are not over, whoever serves them. */
export async function openOf(db: Queryable, ids: readonly string[]): Promise<ReadonlySet<string>> {
  const rows = await selectRows<{ id: string }>(db, sql`SELECT id FROM event_feed WHERE id IN (${ids}) AND ends_at > UTC_TIMESTAMP(3)`);
  return new Set(rows.map(({ id }) => id));
}

export interface Sign { readonly read: number | undefined; readonly again: boolean }

/** A sign of the reader: it stays open for another lease, and what he is known to have read goes up, or, `again`, to where he says. */
export async function keepOpen(db: Queryable, id: string, { read, again }: Sign): Promise<void> {
  const position = again ? 'COALESCE(?, read_position)' : 'GREATEST(read_position, COALESCE(?, 0))';
  await execute(db, `UPDATE event_feed SET read_position = ${position}, rewinds = rewinds + ?, ends_at = UTC_TIMESTAMP(3) + INTERVAL lease_ms * 1000 MICROSECOND WHERE id = ?`, [read ?? null, again ? 1 : 0, id]);
}

export const deleteFeed = async (tx: Queryable, id: string): Promise<boolean> => (await execute(tx, 'DELETE FROM event_feed WHERE id = ?', [id])) === 1;

export async function pageOfFeeds(db: Queryable, userId: string, input: InputOf<typeof listEventFeeds>): Promise<Result<Page<Shown>>> {
  const page = await pageQuery<Row>(db, {
    select: columns, from: 'event_feed f', id: 'f.id', input, orderBy: { createdAt: 'f.created_at' } satisfies SortsOf<typeof listEventFeeds>,
    where: [{ sql: 'f.user_id = ? AND f.ends_at > UTC_TIMESTAMP(3)', params: [userId] }],
  });
  return page.ok ? ok({ rows: page.value.rows.map(shown), next: page.value.next }) : page;
}

/** Feeds that `holder` serves for the next `forMs`: those it has, and those whose holder does not say any more that it is there. */
export async function holdFeeds(db: Queryable, holder: string, forMs: number, most: number): Promise<Served[]> {
  await execute(db, `UPDATE event_feed SET holder = ?, holder_until = UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND
    WHERE ends_at > UTC_TIMESTAMP(3) AND (holder = ? OR holder IS NULL OR holder_until < UTC_TIMESTAMP(3)) ORDER BY created_at LIMIT ?`, [holder, forMs * 1000, holder, most]);
  return (await selectRows<Row>(db, `SELECT ${columns} FROM event_feed f WHERE f.holder = ? AND f.ends_at > UTC_TIMESTAMP(3)`, [holder])).map(served);
}

/** Lets another gateway have them at once. */
export const releaseFeeds = (db: Queryable, holder: string): Promise<number> => execute(db, 'UPDATE event_feed SET holder = NULL WHERE holder = ?', [holder]);

export const purgeFeeds = (db: Queryable): Promise<number> => execute(db, 'DELETE FROM event_feed WHERE ends_at < UTC_TIMESTAMP(3) - INTERVAL 10 SECOND ORDER BY ends_at LIMIT 500');
