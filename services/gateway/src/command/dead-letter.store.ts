// Rows of published commands that have ended and of those that were refused; the only place that knows the tables.
import type { EntityManager } from 'typeorm';
import type { z } from 'zod';
import type { BusCommandId, DeadLetter, DeadLetterWithBody, ErrorBody, InputOf, listDeadLetters, SortsOf, UserId } from '#contracts';
import { execute, fromJson, inPortions, isoAt, pageQuery, selectRow, sql, toJson } from '#database';
import type { Page, Queryable, Sql } from '#database';
import { ok } from '#kernel';
import type { Result } from '#kernel';

export type Letter = z.output<typeof DeadLetter>;
export type LetterWithBody = z.output<typeof DeadLetterWithBody>;

interface Row {
  id: string; user_id: string | null; handle: string; operation: string; idem_key: string | null; error: unknown; published_at: Date; refused_at: Date; tries: number;
}

/** What a retry sends, to the byte, beside what the letter shows. */
export interface Sent { readonly body: Uint8Array; readonly dryRun: string }
const utf8 = new TextDecoder();

const columns = 'd.id, d.user_id, d.handle, d.operation, d.idem_key, d.error, d.published_at, d.refused_at, d.tries';
const letterOf = (row: Row): Letter => ({
  id: row.id as BusCommandId, userId: row.user_id as UserId | null, user: row.handle, operation: row.operation, idempotencyKey: row.idem_key, error: fromJson<ErrorBody>(row.error),
  publishedAt: isoAt(row.published_at), refusedAt: isoAt(row.refused_at), tries: row.tries,
});

/** False = its outcome was recorded before. */
export const noteEnd = async (tx: EntityManager, id: string): Promise<boolean> => (await execute(tx, 'INSERT IGNORE INTO bus_command (id, ended_at) VALUES (?, UTC_TIMESTAMP(3))', [id])) === 1;

export const hasEnded = async (db: Queryable, id: string): Promise<boolean> => (await selectRow(db, 'SELECT id FROM bus_command WHERE id = ?', [id])) !== undefined;

const rowsAtOnce = 1_000;
/** What the stream can still deliver again is younger. */
const keepEndsDays = 7;

export interface NewLetter extends Sent {
  readonly id: string; readonly userId: string | null; readonly handle: string; readonly operation: string; readonly idempotencyKey: string | null;
  readonly error: ErrorBody; readonly publishedAt: number;
}

/** The oldest of more than `most` of one user make room. By his handle, as some are of nobody: nobody else ever bears it. */
export async function insertLetter(tx: EntityManager, most: number, { id, userId, handle, operation, idempotencyKey, body, dryRun, error, publishedAt }: NewLetter): Promise<void> {
  await execute(tx, `INSERT INTO dead_letter (id, user_id, handle, operation, idem_key, body, dry_run, error, published_at, refused_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(3))`, [id, userId, handle, operation, idempotencyKey, Buffer.from(body), dryRun.slice(0, 20), toJson(error), new Date(publishedAt)]);
  const held = await selectRow<{ n: number }>(tx, 'SELECT COUNT(*) AS n FROM dead_letter WHERE handle = ?', [handle]);
  const beyond = Math.min((held?.n ?? 0) - most, rowsAtOnce);
  if (beyond > 0) await execute(tx, 'DELETE FROM dead_letter WHERE handle = ? ORDER BY refused_at, id LIMIT ?', [handle, beyond]);
}

export const refuseAgain = async (tx: EntityManager, id: string, error: ErrorBody): Promise<boolean> =>
  (await execute(tx, 'UPDATE dead_letter SET error = ?, refused_at = UTC_TIMESTAMP(3), tries = tries + 1 WHERE id = ?', [toJson(error), id])) === 1;

export const deleteLetter = async (tx: EntityManager, id: string): Promise<boolean> => (await execute(tx, 'DELETE FROM dead_letter WHERE id = ?', [id])) === 1;

export async function findLetter(db: Queryable, id: string): Promise<{ letter: LetterWithBody; sent: Sent } | undefined> {
  const row = await selectRow<Row & { body: Buffer; dry_run: string }>(db, `SELECT ${columns}, d.body, d.dry_run FROM dead_letter d WHERE d.id = ?`, [id]);
  return row && { letter: { ...letterOf(row), body: utf8.decode(row.body) }, sent: { body: row.body, dryRun: row.dry_run } };
}

/** `userId` undefined = of all users. */
export async function pageOfLetters(db: Queryable, input: InputOf<typeof listDeadLetters>, userId: string | undefined): Promise<Result<Page<Letter>>> {
  const where: Sql[] = [];
  if (userId !== undefined) where.push(sql`d.user_id = ${userId}`);
  if (input.operation !== undefined) where.push(sql`d.operation = ${input.operation}`);
  if (input.user !== undefined) where.push(sql`d.handle = ${input.user}`);
  const page = await pageQuery<Row>(db, {
    select: columns, from: 'dead_letter d', id: 'd.id', input, where, preset: '-refusedAt',
    orderBy: { refusedAt: 'd.refused_at', publishedAt: 'd.published_at' } satisfies SortsOf<typeof listDeadLetters>,
  });
  return page.ok ? ok({ rows: page.value.rows.map(letterOf), next: page.value.next }) : page;
}

/** Forgets ends and dead letters that are old enough, all of them: commands may end faster than one round removes. */
export async function purgeEnded(db: Queryable, keepDays: number, signal: AbortSignal): Promise<void> {
  const purges = [['bus_command', 'ended_at', keepEndsDays], ['dead_letter', 'refused_at', keepDays]] as const;
  for (const [table, time, days] of purges) {
    if (signal.aborted) return;
    await inPortions(rowsAtOnce, (most) => execute(db, `DELETE FROM ${table} WHERE ${time} < UTC_TIMESTAMP(3) - INTERVAL ? DAY ORDER BY ${time} LIMIT ?`, [days, most]), signal);
  }
}
