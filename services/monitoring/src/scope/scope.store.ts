// Rows of scopes: one per object, as its owner last told. A move is one row; what an object was is not kept, so whoever
// may see it now may see its past, and whoever may no longer see it may not.
import type { EntityManager } from 'typeorm';
import type { EventEnvelope, Permission } from '#contracts';
import { accessFilter, execute, selectRows, sql, type AccessObject, type Queryable, type Sql, type Who } from '#database';
import { isEnd, scopeIn, type Scope } from './scope.ts';

/** What the events tell, in their order. An object that is gone leaves its row: its past stays visible to the same people. */
export async function keepScopes(tx: EntityManager, events: readonly EventEnvelope[]): Promise<void> {
  const told = new Map<string, Scope>();
  for (const event of events) {
    const scope = scopeIn(event);
    if (scope !== undefined) told.set(event.objectId, scope);
  }
  if (told.size > 0) {
    await execute(tx, `INSERT INTO object_scope (object_id, noun, owner_id, folder_id, cluster_id) VALUES ${[...told].map(() => '(?, ?, ?, ?, ?)').join(', ')}
      ON DUPLICATE KEY UPDATE owner_id = VALUES(owner_id), folder_id = VALUES(folder_id), cluster_id = VALUES(cluster_id)`,
      [...told].flatMap(([id, { noun, ownerId, folderId, clusterId }]) => [id, noun, ownerId, folderId, clusterId]));
  }
  for (const event of events) if (isEnd(event)) await execute(tx, 'UPDATE object_scope SET gone_at = ? WHERE object_id = ?', [new Date(event.at), event.objectId]);
}

/** Forgets where objects were that are gone, when nothing of them is kept any longer; at most `limit`. */
export const purgeScopes = (tx: Queryable, limit: number): Promise<number> =>
  execute(tx, `DELETE FROM object_scope WHERE gone_at < UTC_TIMESTAMP(3) - INTERVAL 1 DAY
    AND NOT EXISTS (SELECT 1 FROM event_log WHERE event_log.subject_id = object_scope.object_id) AND NOT EXISTS (SELECT 1 FROM task_view WHERE task_view.object_id = object_scope.object_id) ORDER BY gone_at LIMIT ?`, [limit]);

interface Row { object_id: string; noun: string; owner_id: string | null; folder_id: string | null; cluster_id: string | null }
type FoundScope = Scope & { readonly id: string };

export async function findScopes(tx: Queryable, objectIds: readonly string[]): Promise<ReadonlyMap<string, FoundScope>> {
  const rows = await selectRows<Row>(tx, sql`SELECT object_id, noun, owner_id, folder_id, cluster_id FROM object_scope WHERE object_id IN (${objectIds})`);
  return new Map(rows.map((row) => [row.object_id, { id: row.object_id, noun: row.noun, ownerId: row.owner_id, folderId: row.folder_id, clusterId: row.cluster_id }]));
}

export const findScope = async (tx: Queryable, objectId: string): Promise<FoundScope | undefined> => (await findScopes(tx, [objectId])).get(objectId);

/** What a right on an object asks about it, for one that is perhaps not known yet. */
export async function accessOf(tx: Queryable, objectId: string, ownerId: string | null): Promise<AccessObject> {
  const scope = await findScope(tx, objectId);
  return { id: objectId, ownerId: ownerId ?? scope?.ownerId ?? null, folderId: scope?.folderId ?? null, clusterId: scope?.clusterId ?? null };
}

/** The join and the condition for lists whose rows are about objects; `ownerId` is what the row itself says. */
export const scopeJoin = (objectId: string): string => `LEFT JOIN object_scope ON object_scope.object_id = ${objectId}`;
export const scopeFilter = (who: Who, permission: Permission, columns: { readonly id: string; readonly ownerId: string }): Sql =>
  accessFilter(who, permission, { ...columns, folderId: 'object_scope.folder_id', clusterId: 'object_scope.cluster_id' });
