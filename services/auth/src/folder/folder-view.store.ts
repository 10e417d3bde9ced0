// The copy of compute's folders. Where it lags behind or is empty, a grant reaches its own folder alone: less, never more
// than it should, but for the moment until a move is heard of.
import type { EntityManager } from 'typeorm';
import { userChanged, type Folder, type UserId } from '#contracts';
import { execute, selectRow, selectRows, type Queryable } from '#database';
import { emit } from '#tasks';

/** The folders below this one, all levels. */
export async function foldersBelow(db: Queryable, folderId: string): Promise<string[]> {
  // UNION, not UNION ALL: a circle that a lagging copy shows for a moment ends the search instead of never ending it.
  const rows = await selectRows<{ folder_id: string }>(db, `WITH RECURSIVE below AS (SELECT folder_id FROM folder_view WHERE parent_id = ?
    UNION SELECT folder_view.folder_id FROM folder_view JOIN below ON folder_view.parent_id = below.folder_id) SELECT folder_id FROM below ORDER BY folder_id`, [folderId]);
  return rows.map((row) => row.folder_id).filter((id) => id !== folderId);
}

/** Takes a folder over unless a later version of it is known; doors hear of a change of the tree. */
export async function keepFolderView(tx: EntityManager, { id, parentId, version }: Pick<Folder, 'id' | 'parentId' | 'version'>): Promise<void> {
  const before = await selectRow<{ parent_id: string; version: number }>(tx, 'SELECT parent_id, version FROM folder_view WHERE folder_id = ? FOR UPDATE', [id]);
  const parent = parentId ?? '';
  // Most changes of a folder move nothing, and the version counts only for moves.
  if (before !== undefined && (before.version >= version || before.parent_id === parent)) return;
  // Two who hear of a new folder together: the later version stands, whoever is first. Version last: assignments go from left to right.
  await execute(tx, `INSERT INTO folder_view (folder_id, parent_id, version) VALUES (?, ?, ?)
    ON DUPLICATE KEY UPDATE parent_id = IF(version < VALUES(version), VALUES(parent_id), parent_id), version = GREATEST(version, VALUES(version))`, [id, parent, version]);
  if (before?.parent_id !== parent && (parent !== '' || before !== undefined)) await tellHolders(tx);
}

export async function forgetFolderView(tx: EntityManager, folderId: string): Promise<void> {
  await execute(tx, 'DELETE FROM folder_view WHERE folder_id = ?', [folderId]);
}

/** Which are known, and what is above each. */
export const knownFolders = async (db: Queryable): Promise<ReadonlyMap<string, string | null>> =>
  new Map((await selectRows<{ folder_id: string; parent_id: string }>(db, 'SELECT folder_id, parent_id FROM folder_view')).map((row) => [row.folder_id, row.parent_id || null]));

/** What doors keep of those who hold a grant on any folder may be another now. */
async function tellHolders(tx: EntityManager): Promise<void> {
  for (const { user_id: userId } of await selectRows<{ user_id: UserId }>(tx, "SELECT DISTINCT user_id FROM role_grant WHERE scope = 'folder'")) {
    await emit(tx, userChanged, { objectId: userId, data: { userId, what: 'folders' } });
  }
}
