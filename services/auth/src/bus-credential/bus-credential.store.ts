// Rows of users' keys on the bus; the only place that knows the table.
import type { BusCredential, BusCredentialId, InputOf, SortsOf, UserId, listBusCredentials } from '#contracts';
import type { z } from 'zod';
import { execute, isoAt, isoAtOrNull, pageQuery, selectRow, selectRows } from '#database';
import type { Page, Queryable } from '#database';
import type { Result } from '#kernel';
import { ok } from '#kernel';

export type BusCredentialObject = z.output<typeof BusCredential>;

interface Row {
  id: string;
  user_id: string;
  name: string;
  public_key: string;
  created_at: Date;
  issued_at: Date;
  expires_at: Date;
  revoked_at: Date | null;
}

const columns = 'b.id, b.user_id, b.name, b.public_key, b.created_at, b.issued_at, b.expires_at, b.revoked_at';
const credentialOf = (row: Row): BusCredentialObject => ({
  id: row.id as BusCredentialId, userId: row.user_id as UserId, name: row.name, publicKey: row.public_key,
  createdAt: isoAt(row.created_at), issuedAt: isoAt(row.issued_at), expiresAt: isoAt(row.expires_at), revokedAt: isoAtOrNull(row.revoked_at),
});

export async function lockByKey(tx: Queryable, publicKey: string): Promise<BusCredentialObject | undefined> {
  const row = await selectRow<Row>(tx, `SELECT ${columns} FROM bus_credential b WHERE b.public_key = ? FOR UPDATE`, [publicKey]);
  return row && credentialOf(row);
}

export const insertCredential = (tx: Queryable, { id, userId, name, publicKey, lifeMinutes }: { id: string; userId: string; name: string; publicKey: string; lifeMinutes: number }): Promise<number> =>
  execute(tx, `INSERT INTO bus_credential (id, user_id, name, public_key, created_at, issued_at, expires_at)
    VALUES (?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), UTC_TIMESTAMP(3) + INTERVAL ? MINUTE)`, [id, userId, name, publicKey, lifeMinutes]);

/** Never shorter: a token that was made before would be forgotten while it lives. */
export const renewCredential = (tx: Queryable, id: string, name: string, lifeMinutes: number): Promise<number> =>
  execute(tx, 'UPDATE bus_credential SET name = ?, issued_at = UTC_TIMESTAMP(3), expires_at = GREATEST(expires_at, UTC_TIMESTAMP(3) + INTERVAL ? MINUTE) WHERE id = ?', [name, lifeMinutes, id]);

export async function countLive(tx: Queryable, userId: string): Promise<number> {
  const row = await selectRow<{ n: number | string }>(tx, 'SELECT COUNT(*) AS n FROM bus_credential WHERE user_id = ? AND revoked_at IS NULL AND expires_at > UTC_TIMESTAMP(3)', [userId]);
  return Number(row?.n ?? 0);
}

const notYetRevoked = 'UPDATE bus_credential SET revoked_at = UTC_TIMESTAMP(3) WHERE revoked_at IS NULL AND user_id = ?';
export const revokeCredential = (tx: Queryable, id: string, userId: string): Promise<number> => execute(tx, `${notYetRevoked} AND id = ?`, [userId, id]);
export const revokeCredentialsOf = (tx: Queryable, userId: string): Promise<number> => execute(tx, notYetRevoked, [userId]);

export const ownsCredential = async (tx: Queryable, id: string, userId: string): Promise<boolean> =>
  (await selectRow(tx, 'SELECT id FROM bus_credential WHERE id = ? AND user_id = ?', [id, userId])) !== undefined;

/**
 * Keys that the server must refuse, for as long as a token for them could live. The second that goes with each lies behind
 * the end of all of its tokens: one that is being signed at this moment is refused too.
 */
export async function revokedKeys(db: Queryable): Promise<Record<string, number>> {
  const rows = await selectRows<{ public_key: string; expires_at: Date }>(db, 'SELECT public_key, expires_at FROM bus_credential WHERE revoked_at IS NOT NULL AND expires_at > UTC_TIMESTAMP(3) - INTERVAL 1 MINUTE');
  return Object.fromEntries(rows.map(({ public_key, expires_at }) => [public_key, Math.ceil(expires_at.getTime() / 1000)]));
}

/** Ended a day ago: a key that was revoked cannot be let in again before that. */
export const purgeCredentials = (db: Queryable): Promise<number> => execute(db, 'DELETE FROM bus_credential WHERE expires_at < UTC_TIMESTAMP(3) - INTERVAL 1 DAY LIMIT 1000');

export async function pageOfCredentials(db: Queryable, query: { userId: string; input: InputOf<typeof listBusCredentials> }): Promise<Result<Page<BusCredentialObject>>> {
  const page = await pageQuery<Row>(db, {
    select: columns, from: 'bus_credential b', id: 'b.id', input: query.input, where: [{ sql: 'b.user_id = ?', params: [query.userId] }],
    orderBy: { createdAt: 'b.created_at', expiresAt: 'b.expires_at', name: 'b.name' } satisfies SortsOf<typeof listBusCredentials>,
  });
  return page.ok ? ok({ rows: page.value.rows.map(credentialOf), next: page.value.next }) : page;
}
