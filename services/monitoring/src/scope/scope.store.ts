// Rows of scopes: one per object, as its owner last told. A move is one row; what an object was is not kept, so whoever
// may see it now may see its past, and whoever may no longer see it may not.
import type { EntityManager } from 'typeorm';
import type { EventEnvelope, Permission } from '#contracts';
import { accessFilter, execute, selectRow, type AccessObject, type Queryable, type Sql, type Who } from '#database';
import { scopeIn, type Scope } from './scope.ts';

/** An event that only says that the object is gone leaves the row: its past stays visible to the same people. */
export async function keepScope(tx: EntityManager, event: EventEnvelope): Promise<void> {
  const scope = scopeIn(event);
  if (scope === undefined) return;
  const told = [scope.ownerId, scope.folderId, scope.clusterId];
  await execute(tx, `INSERT INTO object_scope (object_id, noun, owner_id, folder_id, cluster_id) VALUES (?, ?, ?, ?, ?)
    ON DUPLICATE KEY UPDATE owner_id = ?, folder_id = ?, cluster_id = ?`, [event.objectId, scope.noun, ...told, ...told]);
}

export async function findScope(tx: Queryable, objectId: string): Promise<(Scope & { readonly id: string }) | undefined> {
  const row = await selectRow<{ noun: string; owner_id: string | null; folder_id: string | null; cluster_id: string | null }>(tx,
    'SELECT noun, owner_id, folder_id, cluster_id FROM object_scope WHERE object_id = ?', [objectId]);
  return row && { id: objectId, noun: row.noun, ownerId: row.owner_id, folderId: row.folder_id, clusterId: row.cluster_id };
}

/** What a right on an object asks about it, for one that is perhaps not known yet. */
export async function accessOf(tx: Queryable, objectId: string, ownerId: string | null): Promise<AccessObject> {
  const scope = await findScope(tx, objectId);
  return { id: objectId, ownerId: ownerId ?? scope?.ownerId ?? null, folderId: scope?.folderId ?? null, clusterId: scope?.clusterId ?? null };
}

/** The join and the condition for lists whose rows are about objects; `ownerId` is what the row itself says. */
export const scopeJoin = (objectId: string): string => `LEFT JOIN object_scope ON object_scope.object_id = ${objectId}`;
export const scopeFilter = (who: Who, permission: Permission, columns: { readonly id: string; readonly ownerId: string }): Sql =>
  accessFilter(who, permission, { ...columns, folderId: 'object_scope.folder_id', clusterId: 'object_scope.cluster_id' });
