// Rows of API tokens.
import type { ApiToken, TokenId, UserId } from '#contracts';
import type { InputOf, SortsOf, listApiTokens } from '#contracts';
import type { z } from 'zod';
import { execute, fromBit, isoAt, isoAtOrNull, pageQuery, selectRow } from '#database';
import type { Page, Queryable } from '#database';
import type { Result } from '#kernel';
import { ok } from '#kernel';

export type ApiTokenObject = z.output<typeof ApiToken>;

interface TokenRow {
  id: string;
  user_id: string;
  name: string;
  created_at: Date;
  expires_at: Date | null;
  last_used_at: Date | null;
}

const columns = 't.id, t.user_id, t.name, t.created_at, t.expires_at, t.last_used_at';
const tokenOf = (row: TokenRow): ApiTokenObject => ({
  id: row.id as TokenId, userId: row.user_id as UserId, name: row.name, createdAt: isoAt(row.created_at), expiresAt: isoAtOrNull(row.expires_at), lastUsedAt: isoAtOrNull(row.last_used_at),
});

export const insertApiToken = (tx: Queryable, token: { id: string; userId: string; name: string; hash: string; expiresInDays: number | null }): Promise<number> =>
  execute(tx, 'INSERT INTO api_token (id, user_id, name, hash, created_at, expires_at) VALUES (?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) + INTERVAL ? DAY)',
    [token.id, token.userId, token.name, token.hash, token.expiresInDays]);

export async function findApiToken(db: Queryable, id: string, userId: string): Promise<ApiTokenObject | undefined> {
  const row = await selectRow<TokenRow>(db, `SELECT ${columns} FROM api_token t WHERE t.id = ? AND t.user_id = ?`, [id, userId]);
  return row && tokenOf(row);
}

export interface StoredSecret {
  readonly userId: string;
  readonly hash: string;
  readonly expiresAt: Date | null;
  readonly ended: boolean;
  /** The last noted use is so long ago that another one is worth a write. */
  readonly useIsOld: boolean;
}

export async function findSecret(db: Queryable, id: string): Promise<StoredSecret | undefined> {
  const row = await selectRow<{ user_id: string; hash: string; expires_at: Date | null; ended: number | string | null; use_is_old: number | string | null }>(db,
    `SELECT user_id, hash, expires_at, expires_at <= UTC_TIMESTAMP(3) AS ended, (last_used_at IS NULL OR last_used_at < UTC_TIMESTAMP(3) - INTERVAL 60 SECOND) AS use_is_old FROM api_token WHERE id = ?`, [id]);
  return row && { userId: row.user_id, hash: row.hash, expiresAt: row.expires_at, ended: fromBit(row.ended), useIsOld: fromBit(row.use_is_old) };
}

/** Whose token this is, if it has not ended. */
export const userOfToken = async (db: Queryable, id: string): Promise<string | undefined> =>
  (await selectRow<{ user_id: string }>(db, 'SELECT user_id FROM api_token WHERE id = ? AND (expires_at IS NULL OR expires_at > UTC_TIMESTAMP(3))', [id]))?.user_id;

export const noteUse = (db: Queryable, id: string): Promise<number> => execute(db, 'UPDATE api_token SET last_used_at = UTC_TIMESTAMP(3) WHERE id = ?', [id]);
export const removeApiToken = (tx: Queryable, id: string, userId: string): Promise<number> => execute(tx, 'DELETE FROM api_token WHERE id = ? AND user_id = ?', [id, userId]);
export const removeApiTokensOf = (tx: Queryable, userId: string): Promise<number> => execute(tx, 'DELETE FROM api_token WHERE user_id = ?', [userId]);
export const purgeApiTokens = (db: Queryable): Promise<number> => execute(db, 'DELETE FROM api_token WHERE expires_at < UTC_TIMESTAMP(3) - INTERVAL 30 DAY LIMIT 1000');

export async function pageOfApiTokens(db: Queryable, query: { userId: string; input: InputOf<typeof listApiTokens> }): Promise<Result<Page<ApiTokenObject>>> {
  const page = await pageQuery<TokenRow>(db, {
    select: columns, from: 'api_token t', id: 't.id', orderBy: { createdAt: 't.created_at', name: 't.name' } satisfies SortsOf<typeof listApiTokens>, input: query.input, where: [{ sql: 't.user_id = ?', params: [query.userId] }],
  });
  return page.ok ? ok({ rows: page.value.rows.map(tokenOf), next: page.value.next }) : page;
}
