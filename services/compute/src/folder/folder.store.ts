// Rows of folders. Whoever changes the shape of the tree holds the site's row until he commits, so that two moves cannot
// make a circle together.
import type { EntityManager } from 'typeorm';
import { NameTaken, NotFound, type Folder, type InputOf, type SortsOf, type listFolders } from '#contracts';
import { accessFilter, execute, insertRow, isDuplicate, isoAt, pageQuery, searchFilter, selectRow, selectRows, sql, type Queryable, type Who } from '#database';
import { FaultError, ok, type Result } from '#kernel';
import { conflict, stamp } from '../cluster/cluster.store.ts';

interface Row { id: string; parent_id: string; name: string; description: string; folders: number | string; vms: number | string; number: number; version: number; created_at: Date; updated_at: Date }

const columns = `folder.*, (SELECT COUNT(*) FROM folder below WHERE below.parent_id = folder.id) AS folders,
  (SELECT COUNT(*) FROM vm WHERE vm.folder_id = folder.id AND vm.deleted_at IS NULL) AS vms`;

const view = (row: Row): Folder => ({
  id: row.id as Folder['id'], parentId: row.parent_id === '' ? null : row.parent_id as Folder['id'], name: row.name, description: row.description, folders: Number(row.folders), vms: Number(row.vms),
  number: row.number, version: row.version, createdAt: isoAt(row.created_at), updatedAt: isoAt(row.updated_at),
});

export const noFolder = (id: string): ReturnType<typeof NotFound.fail> => NotFound.fail('There is no folder with this id.', { noun: 'folder', id });

export const findFolder = async (tx: Queryable, id: string): Promise<Folder | undefined> => (await foldersById(tx, [id]))[0];

/** A folder whose row is locked until the transaction ends, and by the database's clock since when: never before its last change. */
export type LockedFolder = Folder & { readonly lockedAt: string };

export async function lockFolder(tx: EntityManager, id: string): Promise<LockedFolder | undefined> {
  const row = await selectRow<Row & { locked_at: Date }>(tx, `SELECT ${columns}, GREATEST(UTC_TIMESTAMP(3), folder.updated_at) AS locked_at FROM folder WHERE folder.id = ? FOR UPDATE`, [id]);
  return row && { ...view(row), lockedAt: isoAt(row.locked_at) };
}

export async function foldersById(tx: Queryable, ids: readonly string[]): Promise<Folder[]> {
  return (await selectRows<Row>(tx, sql`SELECT ${{ sql: columns, params: [] }} FROM folder WHERE folder.id IN (${ids})`)).map(view);
}

/** That the folder is there, and stays until the transaction ends; null is the top, which always is. */
export async function keepFolder(tx: EntityManager, id: string | null): Promise<Result<undefined>> {
  if (id === null) return ok(undefined);
  return (await selectRow(tx, 'SELECT id FROM folder WHERE id = ? LOCK IN SHARE MODE', [id])) === undefined ? noFolder(id) : ok(undefined);
}

/** Held while the tree changes its shape. */
export const lockTree = async (tx: EntityManager): Promise<void> => { await selectRow(tx, 'SELECT id FROM site FOR UPDATE'); };

/** The folder and all above it, nearest first. */
export async function pathOf(tx: Queryable, id: string): Promise<string[]> {
  const rows = await selectRows<{ id: string }>(tx, `WITH RECURSIVE up AS (SELECT id, parent_id, 1 AS depth FROM folder WHERE id = ?
    UNION ALL SELECT folder.id, folder.parent_id, up.depth + 1 FROM folder JOIN up ON folder.id = up.parent_id) SELECT id FROM up ORDER BY depth`, [id]);
  return rows.map((row) => row.id);
}

/** The folder and all below it. */
export async function foldersUnder(tx: Queryable, id: string): Promise<string[]> {
  const rows = await selectRows<{ id: string }>(tx, `WITH RECURSIVE down AS (SELECT id FROM folder WHERE id = ?
    UNION ALL SELECT folder.id FROM folder JOIN down ON folder.parent_id = down.id) SELECT id FROM down`, [id]);
  return rows.map((row) => row.id);
}

/** How many levels there are below the folder, itself included. */
export async function heightOf(tx: Queryable, id: string): Promise<number> {
  const row = await selectRow<{ height: number | string }>(tx, `WITH RECURSIVE down AS (SELECT id, 1 AS depth FROM folder WHERE id = ?
    UNION ALL SELECT folder.id, down.depth + 1 FROM folder JOIN down ON folder.parent_id = down.id) SELECT MAX(depth) AS height FROM down`, [id]);
  return Number(row?.height ?? 0);
}

export async function pageOfFolders(tx: Queryable, who: Who, input: InputOf<typeof listFolders>): Promise<Result<{ items: Folder[]; next: string | null }>> {
  const page = await pageQuery<Row>(tx, {
    select: columns, from: 'folder', orderBy: { name: 'folder.name', createdAt: 'folder.created_at' } satisfies SortsOf<typeof listFolders>, id: 'folder.id', input,
    where: [
      accessFilter(who, 'folder.read', { id: 'folder.id', folderId: 'folder.id' }),
      input.name === undefined ? null : sql`folder.name = ${input.name}`,
      input.parentId === undefined ? null : sql`folder.parent_id = ${input.parentId}`,
      searchFilter(input.q, 'folder.name'),
    ],
  });
  return page.ok ? ok({ items: page.value.rows.map(view), next: page.value.next }) : page;
}

export async function insertFolder(tx: EntityManager, folder: { id: string; parentId: string | null; name: string; description: string }): Promise<void> {
  const made = await stamp(tx, 'folder');
  await unlessTaken(folder.name, () => insertRow(tx, 'folder', { id: folder.id, parent_id: folder.parentId ?? '', name: folder.name, description: folder.description, ...made }));
}

/** Changes a locked folder and answers it as it is now. */
export async function changeFolder(tx: EntityManager, folder: LockedFolder, next: Pick<Folder, 'parentId' | 'name' | 'description'>): Promise<Folder> {
  const { lockedAt, ...before } = folder;
  const met = await unlessTaken(next.name, () => execute(tx, 'UPDATE folder SET parent_id = ?, name = ?, description = ?, version = version + 1, updated_at = ? WHERE id = ? AND version = ?',
    [next.parentId ?? '', next.name, next.description, new Date(lockedAt), folder.id, folder.version]));
  if (met === 0) throw new FaultError(conflict(folder.version, folder.version + 1));
  return { ...before, ...next, version: folder.version + 1, updatedAt: lockedAt };
}

async function unlessTaken<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw isDuplicate(error) ? new FaultError(NameTaken.fault(`There is a folder called "${name}" there already.`, { noun: 'folder', name })) : error;
  }
}

export const deleteFolderRow = (tx: EntityManager, id: string): Promise<number> => execute(tx, 'DELETE FROM folder WHERE id = ?', [id]);

/** The first of what compute itself has in the folder; VMs in the recycle bin count. */
export const contentOf = (tx: Queryable, id: string, limit: number): Promise<{ noun: string; id: string }[]> => selectRows(tx,
  "(SELECT 'folder' AS noun, id FROM folder WHERE parent_id = ? LIMIT ?) UNION ALL (SELECT 'vm', id FROM vm WHERE folder_id = ? AND deleted_at IS NULL LIMIT ?)", [id, limit, id, limit]);
