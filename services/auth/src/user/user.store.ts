// Rows of users; the only place that knows the table.
import type { User, UserId } from '#contracts';
import type { InputOf, SortsOf, listUsers } from '#contracts';
import type { z } from 'zod';
import { execute, fromBit, isoAt, isoAtOrNull, pageQuery, searchFilter, selectRow } from '#database';
import type { Page, Queryable, Sql } from '#database';
import type { Result } from '#kernel';
import { ok } from '#kernel';

export type UserObject = z.output<typeof User>;
export interface StoredUser extends UserObject {
  readonly passwordHash: string;
}

interface UserRow {
  id: string;
  handle: string;
  display_name: string;
  password_hash: string;
  must_change_password: number;
  disabled: number;
  last_login_at: Date | null;
  number: number | string;
  version: number;
  created_at: Date;
  updated_at: Date;
}

const columns = 'u.id, u.handle, u.display_name, u.password_hash, u.must_change_password, u.disabled, u.last_login_at, u.number, u.version, u.created_at, u.updated_at';

const userOf = (row: UserRow): UserObject => ({
  id: row.id as UserId, handle: row.handle, displayName: row.display_name, disabled: fromBit(row.disabled), mustChangePassword: fromBit(row.must_change_password),
  lastLoginAt: isoAtOrNull(row.last_login_at), number: Number(row.number), version: row.version, createdAt: isoAt(row.created_at), updatedAt: isoAt(row.updated_at),
});
const storedOf = (row: UserRow): StoredUser => ({ ...userOf(row), passwordHash: row.password_hash });

export interface NewUser {
  readonly id: string;
  readonly number: number;
  readonly handle: string;
  readonly displayName: string;
  readonly passwordHash: string;
  readonly mustChangePassword: boolean;
}

/** Throws the driver's duplicate error when the handle is or was somebody's. */
export const insertUser = (tx: Queryable, user: NewUser): Promise<number> =>
  execute(tx, 'INSERT INTO user_account (id, number, handle, display_name, password_hash, must_change_password, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))',
    [user.id, user.number, user.handle, user.displayName, user.passwordHash, user.mustChangePassword]);

const find = async (db: Queryable, where: string, param: string): Promise<StoredUser | undefined> => {
  const row = await selectRow<UserRow>(db, `SELECT ${columns} FROM user_account u WHERE u.deleted_at IS NULL AND ${where}`, [param]);
  return row && storedOf(row);
};
export const findUser = (db: Queryable, id: string): Promise<StoredUser | undefined> => find(db, 'u.id = ?', id);
export const lockUser = (tx: Queryable, id: string): Promise<StoredUser | undefined> => find(tx, 'u.id = ? FOR UPDATE', id);
export const findUserByHandle = (db: Queryable, handle: string): Promise<StoredUser | undefined> => find(db, 'u.handle = ?', handle);

/** Without what nobody may see. */
export const shown = ({ passwordHash: _, ...user }: StoredUser): UserObject => user;

/** Tombstones count: a site whose users were all deleted is not a new one. */
export const hasUsers = async (db: Queryable): Promise<boolean> => (await selectRow(db, 'SELECT id FROM user_account LIMIT 1')) !== undefined;

export const changeUser = (tx: Queryable, id: string, version: number, to: { displayName: string; disabled: boolean }): Promise<number> =>
  execute(tx, 'UPDATE user_account SET display_name = ?, disabled = ?, version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ? AND version = ?', [to.displayName, to.disabled, id, version]);

export const changePassword = (tx: Queryable, id: string, hash: string, mustChange: boolean): Promise<number> =>
  execute(tx, 'UPDATE user_account SET password_hash = ?, must_change_password = ?, version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ?', [hash, mustChange, id]);

/** Another hash of the same password; only if nobody has set another one meanwhile. */
export const rehashPassword = (db: Queryable, id: string, from: string, to: string): Promise<number> =>
  execute(db, 'UPDATE user_account SET password_hash = ? WHERE id = ? AND password_hash = ?', [to, id, from]);

export const noteLogin = (db: Queryable, id: string): Promise<number> => execute(db, 'UPDATE user_account SET last_login_at = UTC_TIMESTAMP(3) WHERE id = ?', [id]);

/** The row stays, so that the handle does; the password goes. */
export const buryUser = (tx: Queryable, id: string): Promise<number> =>
  execute(tx, "UPDATE user_account SET deleted_at = UTC_TIMESTAMP(3), updated_at = UTC_TIMESTAMP(3), password_hash = '', display_name = '' WHERE id = ?", [id]);

export async function pageOfUsers(db: Queryable, query: { input: InputOf<typeof listUsers>; filter: Sql }): Promise<Result<Page<UserObject>>> {
  const page = await pageQuery<UserRow>(db, {
    select: columns, from: 'user_account u', id: 'u.id', orderBy: { number: 'u.number', handle: 'u.handle', createdAt: 'u.created_at' } satisfies SortsOf<typeof listUsers>, input: query.input,
    where: [{ sql: 'u.deleted_at IS NULL', params: [] }, query.filter, query.input.handle === undefined ? null : { sql: 'u.handle = ?', params: [query.input.handle] }, searchFilter(query.input.q, 'u.handle', 'u.display_name')],
  });
  return page.ok ? ok({ rows: page.value.rows.map(userOf), next: page.value.next }) : page;
}
