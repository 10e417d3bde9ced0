// The rule of #contracts (`mayAccess`) as a condition in SQL, for lists.
import { isOwnersOwn, memberOfScope, type Permission, type Who } from '#contracts';
import { anyOf } from './sql.ts';
import type { Sql } from './sql.ts';

export { allowed, mayAccess, whoOf, type AccessObject, type Who } from '#contracts';

/** The columns that hold the same; names come from code. */
export interface AccessColumns {
  readonly id: string;
  readonly ownerId?: string;
  readonly folderId?: string;
  readonly clusterId?: string;
}

/** The condition that a list shows only what `who` may `permission`. */
export function accessFilter(who: Who, permission: Permission, columns: AccessColumns): Sql {
  if (who === 'system') return everything;
  const rights = who.rights.filter((right) => right.permissions.includes(permission));
  if (rights.some((right) => right.scope === 'site')) return everything;
  const ways: Sql[] = [];
  for (const scope of ['cluster', 'folder', 'object'] as const) {
    const column = columns[memberOfScope[scope]];
    const ids = rights.filter((right) => right.scope === scope && right.scopeId !== null).flatMap((right) => [right.scopeId, ...(right.below ?? [])]);
    if (column !== undefined && ids.length > 0) ways.push({ sql: `${column} IN (${ids.map(() => '?').join(', ')})`, params: ids });
  }
  if (isOwnersOwn(permission) && columns.ownerId !== undefined) ways.push({ sql: `${columns.ownerId} = ?`, params: [who.userId] });
  return anyOf(ways);
}

const everything: Sql = { sql: '1 = 1', params: [] };
