// Rows of sessions and of their refresh tokens. One live refresh token per session; used ones are kept to be recognised.
import { createHash } from 'node:crypto';
import { execute, fromBit, selectRow } from '#database';
import type { Queryable } from '#database';

/** A session ends when its refresh token has not been used for so long. */
export const sessionLifeMs = 7 * 24 * 3_600_000;

export const hashOf = (secret: string): string => createHash('sha256').update(secret).digest('hex');
const lifeSeconds = sessionLifeMs / 1000;

export interface FoundToken {
  readonly hash: string;
  readonly sessionId: string;
  readonly userId: string;
  readonly used: boolean;
  readonly nextHash: string | null;
  /** Not ended, not run out. */
  readonly live: boolean;
}

export async function insertSession(tx: Queryable, id: string, userId: string, tokenHash: string): Promise<void> {
  await execute(tx, `INSERT INTO session (id, user_id, created_at, expires_at) VALUES (?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) + INTERVAL ${lifeSeconds} SECOND)`, [id, userId]);
  await insertToken(tx, id, tokenHash);
}

export const insertToken = (tx: Queryable, sessionId: string, hash: string): Promise<number> =>
  execute(tx, 'INSERT INTO session_token (hash, session_id, created_at) VALUES (?, ?, UTC_TIMESTAMP(3))', [hash, sessionId]);

/** Locks the session, so that two uses of one token come one after the other. */
export async function lockToken(tx: Queryable, hash: string): Promise<FoundToken | undefined> {
  const row = await selectRow<{ session_id: string; user_id: string; used_at: Date | null; next_hash: string | null; live: number | string }>(tx,
    `SELECT t.session_id, s.user_id, t.used_at, t.next_hash, (s.ended_at IS NULL AND s.expires_at > UTC_TIMESTAMP(3)) AS live
     FROM session_token t JOIN session s ON s.id = t.session_id WHERE t.hash = ? FOR UPDATE`, [hash]);
  return row && { hash, sessionId: row.session_id, userId: row.user_id, used: row.used_at !== null, nextHash: row.next_hash, live: fromBit(row.live) };
}

export const isUnused = async (tx: Queryable, hash: string): Promise<boolean> =>
  (await selectRow(tx, 'SELECT hash FROM session_token WHERE hash = ? AND used_at IS NULL', [hash])) !== undefined;

export async function replaceToken(tx: Queryable, old: FoundToken, nextHash: string): Promise<void> {
  await execute(tx, 'UPDATE session_token SET used_at = UTC_TIMESTAMP(3), next_hash = ? WHERE hash = ?', [nextHash, old.hash]);
  await insertToken(tx, old.sessionId, nextHash);
  await execute(tx, `UPDATE session SET expires_at = UTC_TIMESTAMP(3) + INTERVAL ${lifeSeconds} SECOND WHERE id = ?`, [old.sessionId]);
}

export const endSession = (tx: Queryable, id: string, reason: string): Promise<number> =>
  execute(tx, 'UPDATE session SET ended_at = UTC_TIMESTAMP(3), end_reason = ? WHERE id = ? AND ended_at IS NULL', [reason, id]);

export const endSessionsOf = (tx: Queryable, userId: string, reason: string): Promise<number> =>
  execute(tx, 'UPDATE session SET ended_at = UTC_TIMESTAMP(3), end_reason = ? WHERE user_id = ? AND ended_at IS NULL', [reason, userId]);

/** Whether the session of an access token goes on. */
export const isLive = async (db: Queryable, id: string, userId: string): Promise<boolean> =>
  (await selectRow(db, 'SELECT id FROM session WHERE id = ? AND user_id = ? AND ended_at IS NULL AND expires_at > UTC_TIMESTAMP(3)', [id, userId])) !== undefined;

/** Whose session this is, if it goes on. */
export const userOfLive = async (db: Queryable, id: string): Promise<string | undefined> =>
  (await selectRow<{ user_id: string }>(db, 'SELECT user_id FROM session WHERE id = ? AND ended_at IS NULL AND expires_at > UTC_TIMESTAMP(3)', [id]))?.user_id;

/** Removes what ended a week ago; until then a used token still tells of a theft. */
export async function purgeSessions(db: Queryable): Promise<void> {
  const dead = '(s.ended_at < UTC_TIMESTAMP(3) - INTERVAL 7 DAY OR s.expires_at < UTC_TIMESTAMP(3) - INTERVAL 7 DAY)';
  await execute(db, `DELETE t FROM session_token t JOIN session s ON s.id = t.session_id WHERE ${dead}`);
  await execute(db, `DELETE s FROM session s WHERE ${dead}`);
}
