// Rows of roles; the built-in ones follow the product's catalogue at every start.
import type { DataSource } from 'typeorm';
import type { Permission, Role, RoleId } from '#contracts';
import type { InputOf, SortsOf, listRoles } from '#contracts';
import { builtinRoles } from '#contracts';
import type { z } from 'zod';
import { execute, fromBit, fromJson, isoAt, nextNumber, pageQuery, searchFilter, selectRow, selectRows, toJson, transaction } from '#database';
import type { Page, Queryable, Sql } from '#database';
import type { Result } from '#kernel';
import { canonicalJson, newUuid, ok } from '#kernel';

export type RoleObject = z.output<typeof Role>;

interface RoleRow {
  id: string;
  name: string;
  builtin: number;
  permissions: unknown;
  number: number | string;
  version: number;
  created_at: Date;
  updated_at: Date;
}

const columns = 'r.id, r.name, r.builtin, r.permissions, r.number, r.version, r.created_at, r.updated_at';

const roleOf = (row: RoleRow): RoleObject => ({
  id: row.id as RoleId, name: row.name, builtin: fromBit(row.builtin), permissions: fromJson<Permission[]>(row.permissions),
  number: Number(row.number), version: row.version, createdAt: isoAt(row.created_at), updatedAt: isoAt(row.updated_at),
});

const find = async (db: Queryable, where: string, param: string): Promise<RoleObject | undefined> => {
  const row = await selectRow<RoleRow>(db, `SELECT ${columns} FROM role r WHERE ${where}`, [param]);
  return row && roleOf(row);
};
export const findRole = (db: Queryable, id: string): Promise<RoleObject | undefined> => find(db, 'r.id = ?', id);
export const lockRole = (tx: Queryable, id: string): Promise<RoleObject | undefined> => find(tx, 'r.id = ? FOR UPDATE', id);
export const findRoleByName = (db: Queryable, name: string): Promise<RoleObject | undefined> => find(db, 'r.name = ?', name);

export const insertRole = (tx: Queryable, role: { id: string; number: number; name: string; builtin: boolean; permissions: readonly Permission[] }): Promise<number> =>
  execute(tx, 'INSERT INTO role (id, number, name, builtin, permissions, created_at, updated_at) VALUES (?, ?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))',
    [role.id, role.number, role.name, role.builtin, toJson(role.permissions)]);

export const changeRole = (tx: Queryable, id: string, version: number, to: { name: string; permissions: readonly Permission[] }): Promise<number> =>
  execute(tx, 'UPDATE role SET name = ?, permissions = ?, version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ? AND version = ?', [to.name, toJson(to.permissions), id, version]);

export const removeRole = (tx: Queryable, id: string): Promise<number> => execute(tx, 'DELETE FROM role WHERE id = ?', [id]);

/** Users who hold the role through any grant. */
export async function holdersOf(db: Queryable, roleId: string): Promise<{ userId: string; grantId: string }[]> {
  return selectRows<{ userId: string; grantId: string }>(db, 'SELECT user_id AS userId, id AS grantId FROM role_grant WHERE role_id = ? ORDER BY id', [roleId]);
}

export async function pageOfRoles(db: Queryable, query: { input: InputOf<typeof listRoles>; filter: Sql }): Promise<Result<Page<RoleObject>>> {
  const page = await pageQuery<RoleRow>(db, {
    select: columns, from: 'role r', id: 'r.id', orderBy: { number: 'r.number', name: 'r.name' } satisfies SortsOf<typeof listRoles>, input: query.input,
    where: [query.filter, query.input.name === undefined ? null : { sql: 'r.name = ?', params: [query.input.name] }, searchFilter(query.input.q, 'r.name')],
  });
  return page.ok ? ok({ rows: page.value.rows.map(roleOf), next: page.value.next }) : page;
}

/** Makes the built-in roles and brings them to what this version's catalogue says. Replicas wait for each other at the sequence. */
export const seedRoles = (db: DataSource): Promise<void> => transaction(db, async (tx) => {
  await nextNumber(tx, 'role-seed');
  for (const [name, permissions] of Object.entries(builtinRoles)) {
    const known = await findRoleByName(tx, name);
    if (known === undefined) await insertRole(tx, { id: newUuid(), number: await nextNumber(tx, 'role'), name, builtin: true, permissions });
    else if (!known.builtin || canonicalJson(known.permissions) !== canonicalJson(permissions)) {
      await execute(tx, 'UPDATE role SET builtin = 1, permissions = ?, version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ?', [toJson(permissions), known.id]);
    }
  }
});
