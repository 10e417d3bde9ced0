// Rows of volumes; the only file that knows the table.
import type { EntityManager } from 'typeorm';
import type { DatastoreId, FolderId, UserId, VmId, Volume, VolumeId } from '#contracts';
import { NotFound } from '#contracts';
import type { InputOf, SortsOf, listVolumes as contract } from '#contracts';
import { accessFilter, execute, fromBit, fromJson, insertRow, isoAt, nextNumber, labelFilter, pageQuery, searchFilter, selectRow, selectRows, sql, toJson } from '#database';
import type { Queryable, Who } from '#database';
import { FaultError, ok } from '#kernel';
import type { Result } from '#kernel';
import { volumeView } from './volume.ts';
import type { StoredVolume, VolumeState } from './volume.ts';

// The driver hands out 64-bit columns as text.
interface Row {
  id: VolumeId; number: number; name: string; description: string; labels: unknown; datastore_id: DatastoreId; datastore_path: string; state: VolumeState; used_as: Volume['use']; format: Volume['format'];
  size_bytes: number | string; allocated_bytes: number | string; read_only: number; parent_id: VolumeId | null; attached_to: VmId | null;
  owner_id: UserId | null; folder_id: FolderId | null; task_id: string | null; version: number; created_at: Date; updated_at: Date;
}

const columns = `v.id, v.number, v.name, v.description, v.labels, v.datastore_id, d.path AS datastore_path, v.state, v.used_as, v.format, v.size_bytes, v.allocated_bytes, v.read_only,
  v.parent_id, v.attached_to, v.owner_id, v.folder_id, v.task_id, v.version, v.created_at, v.updated_at`;
const from = 'volume v JOIN datastore d ON d.id = v.datastore_id';

const toStored = (row: Row): StoredVolume => ({
  id: row.id, number: row.number, name: row.name, description: row.description, labels: fromJson<Volume['labels']>(row.labels), datastoreId: row.datastore_id, datastorePath: row.datastore_path, state: row.state, use: row.used_as, format: row.format,
  sizeBytes: Number(row.size_bytes), allocatedBytes: Number(row.allocated_bytes), readOnly: fromBit(row.read_only), parentId: row.parent_id, attachedTo: row.attached_to,
  ownerId: row.owner_id, folderId: row.folder_id, taskId: row.task_id, version: row.version, createdAt: isoAt(row.created_at), updatedAt: isoAt(row.updated_at),
});

export async function findVolume(tx: Queryable, volumeId: string): Promise<StoredVolume | undefined> {
  const row = await selectRow<Row>(tx, `SELECT ${columns} FROM ${from} WHERE v.id = ?`, [volumeId]);
  return row && toStored(row);
}

/**
 * The volume, kept until the transaction ends: `share` for one that will be copied or lain over (many at once), `update`
 * for one that goes. Together they see to it that nothing comes to lie over a volume that is being deleted.
 */
export async function lockVolume(tx: EntityManager, volumeId: string, how: 'share' | 'update'): Promise<StoredVolume | undefined> {
  const held = await selectRow(tx, `SELECT id FROM volume WHERE id = ? ${how === 'share' ? 'LOCK IN SHARE MODE' : 'FOR UPDATE'}`, [volumeId]);
  return held === undefined ? undefined : findVolume(tx, volumeId);
}

export async function findVolumes(tx: Queryable, volumeIds: readonly string[]): Promise<StoredVolume[]> {
  const rows = await selectRows<Row>(tx, sql`SELECT ${{ sql: columns, params: [] }} FROM ${{ sql: from, params: [] }} WHERE v.id IN (${volumeIds})`);
  return rows.map(toStored);
}

export type VolumeFilter = InputOf<typeof contract>;
type Meant = VolumeFilter & { readonly folderIds: readonly string[] | undefined };

export async function listVolumes(tx: Queryable, who: Who, filter: Meant): Promise<Result<{ items: Volume[]; next: string | null }>> {
  const page = await pageQuery<Row>(tx, {
    select: columns, from, id: 'v.id', orderBy: { createdAt: 'v.created_at', name: 'v.name', sizeBytes: 'v.size_bytes', state: 'v.state' } satisfies SortsOf<typeof contract>, input: filter,
    where: [
      searchFilter(filter.q, 'v.name'), labelFilter(filter.label, 'v.labels'),
      accessFilter(who, 'volume.read', { id: 'v.id', ownerId: 'v.owner_id', folderId: 'v.folder_id' }),
      filter.name === undefined ? null : sql`v.name = ${filter.name}`,
      filter.datastoreId === undefined ? null : sql`v.datastore_id = ${filter.datastoreId}`,
      filter.use === undefined ? null : sql`v.used_as = ${filter.use}`,
      filter.attachedTo === undefined ? null : sql`v.attached_to = ${filter.attachedTo}`,
      filter.folderIds === undefined ? null : sql`v.folder_id IN (${filter.folderIds})`,
    ],
  });
  if (!page.ok) return page;
  return ok({ items: page.value.rows.map((row) => volumeView(toStored(row))), next: page.value.next });
}

export interface NewVolume {
  readonly id: string; readonly name: string; readonly datastoreId: string; readonly use: Volume['use']; readonly format: Volume['format']; readonly sizeBytes: number; readonly readOnly: boolean;
  readonly parentId: string | null; readonly copiedFrom: string | null;
  /** What a running copy will write. */
  readonly claimedBytes: number;
  readonly attachedTo: string | null; readonly ownerId: string | null; readonly folderId: string | null; readonly taskId: string;
}

export async function insertVolume(tx: EntityManager, volume: NewVolume): Promise<StoredVolume> {
  await insertRow(tx, 'volume', {
    id: volume.id, number: await nextNumber(tx, 'volume'), name: volume.name, datastore_id: volume.datastoreId, state: 'creating', used_as: volume.use, format: volume.format,
    size_bytes: volume.sizeBytes, allocated_bytes: 0, claimed_bytes: volume.claimedBytes, read_only: volume.readOnly, parent_id: volume.parentId, copied_from: volume.copiedFrom,
    attached_to: volume.attachedTo, owner_id: volume.ownerId, folder_id: volume.folderId, task_id: volume.taskId,
  });
  return required(tx, volume.id);
}

export async function required(tx: Queryable, volumeId: string): Promise<StoredVolume> {
  const volume = await findVolume(tx, volumeId);
  if (volume === undefined) throw new FaultError(NotFound.fault('There is no volume with this id.', { noun: 'volume', id: volumeId }));
  return volume;
}

/** Also what the same task had left as failed when it needed attention; not what a deletion has been at meanwhile. */
export const markReady = (tx: EntityManager, volumeId: string, taskId: string, bytes: { readonly allocatedBytes: number; readonly sizeBytes?: number }): Promise<number> =>
  execute(tx, sql`UPDATE volume SET state = 'ready', allocated_bytes = ${bytes.allocatedBytes}, size_bytes = COALESCE(${bytes.sizeBytes ?? null}, size_bytes),
    claimed_bytes = 0, copied_from = NULL, version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ${volumeId} AND (state = 'creating' OR (state = 'failed' AND task_id = ${taskId}))`);

export const markState = (tx: EntityManager, volumeId: string, state: VolumeState, taskId?: string): Promise<number> =>
  execute(tx, sql`UPDATE volume SET state = ${state}, task_id = COALESCE(${taskId ?? null}, task_id), claimed_bytes = 0, copied_from = NULL,
    version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ${volumeId}`);

/** Those that have grown or shrunk; the versions stay. `bytes` = what each file takes, by volume. */
export async function recordAllocations(db: Queryable, datastoreId: string, bytes: ReadonlyMap<string, number>): Promise<void> {
  const rows = await selectRows<{ id: string; allocated_bytes: number | string }>(db, "SELECT id, allocated_bytes FROM volume WHERE datastore_id = ? AND state = 'ready'", [datastoreId]);
  const changed = rows.flatMap(({ id, allocated_bytes: before }) => (bytes.has(id) && bytes.get(id) !== Number(before) ? [id] : []));
  for (let at = 0; at < changed.length; at += ALLOCATIONS_AT_ONCE) {
    const ids = changed.slice(at, at + ALLOCATIONS_AT_ONCE);
    await execute(db, `UPDATE volume SET allocated_bytes = CASE id ${ids.map(() => 'WHEN ? THEN ?').join(' ')} ELSE allocated_bytes END WHERE state = 'ready' AND id IN (${ids.map(() => '?').join(', ')})`,
      [...ids.flatMap((id) => [id, bytes.get(id)]), ...ids]);
  }
}
const ALLOCATIONS_AT_ONCE = 200;

export const setAttached = (tx: EntityManager, volumeId: string, vmId: string | null): Promise<number> =>
  execute(tx, sql`UPDATE volume SET attached_to = ${vmId}, version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ${volumeId}`);

export interface VolumeWords { readonly name: string; readonly description: string; readonly labels: Volume['labels']; readonly folderId: string | null }

/** Answers 0 when the version is another by now. */
export const changeWords = (tx: EntityManager, { id, version }: Pick<StoredVolume, 'id' | 'version'>, { name, description, labels, folderId }: VolumeWords): Promise<number> =>
  execute(tx, sql`UPDATE volume SET name = ${name}, description = ${description}, labels = ${toJson(labels)}, folder_id = ${folderId},
    version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ${id} AND version = ${version}`);

export const setFree = (tx: EntityManager, volumeId: string, vmId: string, name: string): Promise<number> =>
  execute(tx, sql`UPDATE volume SET attached_to = NULL, name = ${name}, version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ${volumeId} AND attached_to = ${vmId}`);

export const deleteVolumeRow = (tx: EntityManager, volumeId: string): Promise<number> => execute(tx, 'DELETE FROM volume WHERE id = ?', [volumeId]);

/** Linked clones over the volume and copies that read it. */
export const usersOf = async (tx: Queryable, volumeId: string): Promise<string[]> =>
  (await selectRows<{ id: string }>(tx, 'SELECT id FROM volume WHERE parent_id = ? UNION SELECT id FROM volume WHERE copied_from = ? LIMIT 20', [volumeId, volumeId])).map(({ id }) => id);

/** Volumes in a passing state whose task has ended or is gone. */
export const strayVolumes = (tx: Queryable): Promise<{ id: VolumeId; state: VolumeState }[]> =>
  selectRows(tx, "SELECT v.id, v.state FROM volume v LEFT JOIN task t ON t.id = v.task_id WHERE v.state IN ('creating', 'deleting') AND (t.id IS NULL OR t.ended_at IS NOT NULL) LIMIT 100");
