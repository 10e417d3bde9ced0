// Rows of images; the only file that knows the table.
import type { EntityManager } from 'typeorm';
import type { DatastoreId, FolderId, Image, ImageId, UploadId, UserId, VolumeId } from '#contracts';
import { NameTaken } from '#contracts';
import type { InputOf, SortsOf, listImages as contract } from '#contracts';
import { accessFilter, execute, insertRow, isDuplicate, isoAt, nextNumber, pageQuery, searchFilter, selectRow, selectRows, sql } from '#database';
import type { Queryable, Who } from '#database';
import { FaultError, ok } from '#kernel';
import type { Result } from '#kernel';

// The driver hands out 64-bit columns as text.
const bytes = (column: number | string | null): number | null => (column === null ? null : Number(column));

interface Row {
  id: ImageId; name: string; description: string; state: Image['state']; format: Image['format']; size_bytes: number | string | null; virtual_bytes: number | string | null; sha256: string | null;
  datastore_id: DatastoreId; volume_id: VolumeId | null; upload_id: UploadId | null; reason: string | null; owner_id: UserId | null; folder_id: FolderId | null;
  number: number; version: number; created_at: Date; updated_at: Date;
}
const columns = `i.id, i.name, i.description, i.state, i.format, i.size_bytes, i.virtual_bytes, i.sha256, i.datastore_id, i.volume_id, i.upload_id, i.reason, i.owner_id, i.folder_id,
  i.number, i.version, i.created_at, i.updated_at`;

const view = (row: Row): Image => ({
  id: row.id, name: row.name, description: row.description, state: row.state, format: row.format, sizeBytes: bytes(row.size_bytes), virtualBytes: bytes(row.virtual_bytes), sha256: row.sha256,
  datastoreId: row.datastore_id, volumeId: row.volume_id, uploadId: row.upload_id, reason: row.reason, ownerId: row.owner_id, folderId: row.folder_id,
  number: row.number, version: row.version, createdAt: isoAt(row.created_at), updatedAt: isoAt(row.updated_at),
});

export async function findImage(tx: Queryable, imageId: string): Promise<Image | undefined> {
  const row = await selectRow<Row>(tx, `SELECT ${columns} FROM image i WHERE i.id = ?`, [imageId]);
  return row && view(row);
}

/** Kept until the transaction ends: `share` while a template is made from it, `update` while it changes or goes. */
export async function lockImage(tx: EntityManager, imageId: string, how: 'share' | 'update'): Promise<Image | undefined> {
  const held = await selectRow(tx, `SELECT id FROM image WHERE id = ? ${how === 'share' ? 'LOCK IN SHARE MODE' : 'FOR UPDATE'}`, [imageId]);
  return held === undefined ? undefined : findImage(tx, imageId);
}

export type ImageFilter = InputOf<typeof contract>;
type Meant = ImageFilter & { readonly folderIds: readonly string[] | undefined };

export async function listImages(tx: Queryable, who: Who, filter: Meant): Promise<Result<{ items: Image[]; next: string | null }>> {
  const page = await pageQuery<Row>(tx, {
    select: columns, from: 'image i', id: 'i.id', orderBy: { createdAt: 'i.created_at', name: 'i.name', state: 'i.state' } satisfies SortsOf<typeof contract>, input: filter,
    where: [
      searchFilter(filter.q, 'i.name'),
      accessFilter(who, 'image.read', { id: 'i.id', ownerId: 'i.owner_id', folderId: 'i.folder_id' }),
      filter.name === undefined ? null : sql`i.name = ${filter.name}`,
      filter.state === undefined ? null : sql`i.state = ${filter.state}`,
      filter.folderIds === undefined ? null : sql`i.folder_id IN (${filter.folderIds})`,
    ],
  });
  return page.ok ? ok({ items: page.value.rows.map(view), next: page.value.next }) : page;
}

export interface NewImage {
  readonly id: string; readonly name: string; readonly description: string; readonly format: Image['format']; readonly uploadId: string; readonly ownerId: string | null; readonly folderId: string | null;
}

/** The datastore is known when the upload has been opened, in the same transaction. */
export async function insertImage(tx: EntityManager, image: NewImage): Promise<void> {
  const number = await nextNumber(tx, 'image');
  try {
    await insertRow(tx, 'image', {
      id: image.id, number, name: image.name, description: image.description, state: 'awaiting-upload', format: image.format, datastore_id: '', upload_id: image.uploadId,
      owner_id: image.ownerId, folder_id: image.folderId,
    });
  } catch (error) {
    if (!isDuplicate(error)) throw error;
    throw new FaultError(NameTaken.fault(`An image named “${image.name}” exists.`, { noun: 'image', name: image.name }, error));
  }
}

export const placeImage = (tx: EntityManager, imageId: string, datastoreId: string): Promise<number> => execute(tx, 'UPDATE image SET datastore_id = ? WHERE id = ?', [datastoreId, imageId]);

type Change = Partial<{ state: Image['state']; reason: string | null; sizeBytes: number | null; virtualBytes: number; sha256: string | null; volumeId: string; uploadId: string | null }>;
const columnOf: Readonly<Record<keyof Change, string>> = { state: 'state', reason: 'reason', sizeBytes: 'size_bytes', virtualBytes: 'virtual_bytes', sha256: 'sha256', volumeId: 'volume_id', uploadId: 'upload_id' };

export async function changeImage(tx: EntityManager, imageId: string, change: Change): Promise<void> {
  const entries = Object.entries(change) as [keyof Change, string | number | null][];
  const sets = entries.map(([member]) => `${columnOf[member]} = ?`).join(', ');
  await execute(tx, `UPDATE image SET ${sets}, version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ?`, [...entries.map(([, value]) => value), imageId]);
}

export const deleteImageRow = (tx: EntityManager, imageId: string): Promise<number> => execute(tx, 'DELETE FROM image WHERE id = ?', [imageId]);

export const templatesOf = async (tx: Queryable, imageId: string): Promise<string[]> =>
  (await selectRows<{ id: string }>(tx, 'SELECT id FROM template WHERE image_id = ? LIMIT 20', [imageId])).map(({ id }) => id);
