// Rows of grants, and the rights they add up to.
import type { Grant, GrantId, Permission, Right, UserId } from '#contracts';
import type { InputOf, SortsOf, listGrants } from '#contracts';
import { InUse } from '#contracts';
import type { z } from 'zod';
import { foldersBelow } from '../folder/folder-view.store.ts';
import { execute, fromJson, isoAt, pageQuery, selectRow, selectRows } from '#database';
import type { Page, Queryable, Sql } from '#database';
import type { Result } from '#kernel';
import { ok } from '#kernel';

export type GrantObject = z.output<typeof Grant>;

interface GrantRow {
  id: string;
  user_id: string;
  role_id: string;
  role_name: string;
  scope: GrantObject['scope'];
  scope_id: string;
  created_at: Date;
}

const columns = 'g.id, g.user_id, g.role_id, r.name AS role_name, g.scope, g.scope_id, g.created_at';
const tables = 'role_grant g JOIN role r ON r.id = g.role_id';

export const grantOf = (row: GrantRow): GrantObject => ({
  id: row.id as GrantId, userId: row.user_id as UserId, roleId: row.role_id as GrantObject['roleId'], roleName: row.role_name,
  scope: row.scope, scopeId: row.scope_id === '' ? null : row.scope_id, createdAt: isoAt(row.created_at),
});

/** The roles a user holds, by scope; a folder with all that is below it. */
export async function rightsOf(db: Queryable, userId: string): Promise<Right[]> {
  const rows = await selectRows<{ permissions: unknown; scope: Right['scope']; scope_id: string }>(db,
    'SELECT r.permissions, g.scope, g.scope_id FROM role_grant g JOIN role r ON r.id = g.role_id WHERE g.user_id = ? ORDER BY g.id', [userId]);
  return Promise.all(rows.map(async (row): Promise<Right> => {
    const right = { permissions: fromJson<Permission[]>(row.permissions), scope: row.scope, scopeId: row.scope_id === '' ? null : row.scope_id };
    const below = row.scope === 'folder' ? await foldersBelow(db, row.scope_id) : [];
    return below.length === 0 ? right : { ...right, below };
  }));
}

export const insertGrant = (tx: Queryable, grant: { id: string; userId: string; roleId: string; scope: string; scopeId: string | null }): Promise<number> =>
  execute(tx, 'INSERT INTO role_grant (id, user_id, role_id, scope, scope_id, created_at) VALUES (?, ?, ?, ?, ?, UTC_TIMESTAMP(3))',
    [grant.id, grant.userId, grant.roleId, grant.scope, grant.scopeId ?? '']);

export async function findGrant(db: Queryable, id: string): Promise<GrantObject | undefined> {
  const row = await selectRow<GrantRow>(db, `SELECT ${columns} FROM ${tables} WHERE g.id = ?`, [id]);
  return row && grantOf(row);
}

export async function findSameGrant(db: Queryable, grant: { userId: string; roleId: string; scope: string; scopeId: string | null }): Promise<GrantObject | undefined> {
  const row = await selectRow<GrantRow>(db, `SELECT ${columns} FROM ${tables} WHERE g.user_id = ? AND g.role_id = ? AND g.scope = ? AND g.scope_id = ?`,
    [grant.userId, grant.roleId, grant.scope, grant.scopeId ?? '']);
  return row && grantOf(row);
}

export const deleteGrants = (tx: Queryable, where: Sql): Promise<number> => execute(tx, { sql: `DELETE FROM role_grant WHERE ${where.sql}`, params: where.params });

export async function pageOfGrants(db: Queryable, query: { input: InputOf<typeof listGrants>; filter: Sql }): Promise<Result<Page<GrantObject>>> {
  const page = await pageQuery<GrantRow>(db, {
    select: columns, from: tables, id: 'g.id', orderBy: { createdAt: 'g.created_at' } satisfies SortsOf<typeof listGrants>, input: query.input,
    where: [query.filter, query.input.userId === undefined ? null : { sql: 'g.user_id = ?', params: [query.input.userId] }],
  });
  return page.ok ? ok({ rows: page.value.rows.map(grantOf), next: page.value.next }) : page;
}

export const administrator = 'administrator';

/**
 * Refuses with IN_USE when nobody would be left who administers the site. Called after the change, inside its
 * transaction; the role's row is locked first, so that two who remove each other wait for one another.
 */
export async function keepAnAdministrator(tx: Queryable, userId: string): Promise<Result<undefined>> {
  const left = await selectRow<{ administrators: number | string }>(tx,
    `SELECT COUNT(DISTINCT u.id) AS administrators FROM role_grant g JOIN role r ON r.id = g.role_id JOIN user_account u ON u.id = g.user_id
     WHERE r.name = ? AND r.builtin = 1 AND g.scope = 'site' AND u.disabled = 0 AND u.deleted_at IS NULL`, [administrator]);
  if (Number(left?.administrators ?? 0) > 0) return ok(undefined);
  return InUse.fail('This is the last administrator; make another one first.', { by: [{ noun: 'user', id: userId }] });
}

/** Everyone who may change who administers waits here for the one before. */
export const lockAdministrators = async (tx: Queryable): Promise<void> => {
  await selectRow(tx, 'SELECT id FROM role WHERE name = ? AND builtin = 1 FOR UPDATE', [administrator]);
};
