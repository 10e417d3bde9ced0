// Rows of templates; the only file that knows the table.
import type { EntityManager } from 'typeorm';
import type { FolderId, ImageId, Template, TemplateId, UserId, VolumeId } from '#contracts';
import { NameTaken } from '#contracts';
import type { InputOf, SortsOf, listTemplates as contract } from '#contracts';
import { accessFilter, execute, fromJson, insertRow, isDuplicate, isoAt, nextNumber, labelFilter, pageQuery, searchFilter, selectRow, sql, toJson } from '#database';
import type { Queryable, Who } from '#database';
import { FaultError, ok } from '#kernel';
import type { Result } from '#kernel';

// The driver hands out 64-bit columns as text.
interface Row {
  id: TemplateId; name: string; description: string; labels: unknown; image_id: ImageId; volume_id: VolumeId; disk_bytes: number | string; hardware: unknown;
  owner_id: UserId | null; folder_id: FolderId | null; number: number; version: number; created_at: Date; updated_at: Date;
}
const columns = 't.id, t.name, t.description, t.labels, t.image_id, t.volume_id, t.disk_bytes, t.hardware, t.owner_id, t.folder_id, t.number, t.version, t.created_at, t.updated_at';

const view = (row: Row): Template => ({
  id: row.id, name: row.name, description: row.description, labels: fromJson<Template['labels']>(row.labels), imageId: row.image_id, volumeId: row.volume_id, diskBytes: Number(row.disk_bytes),
  hardware: { tpm: 'none', ...fromJson<Omit<Template['hardware'], 'tpm'> & Partial<Template['hardware']>>(row.hardware) }, ownerId: row.owner_id, folderId: row.folder_id,
  number: row.number, version: row.version, createdAt: isoAt(row.created_at), updatedAt: isoAt(row.updated_at),
});

export async function findTemplate(tx: Queryable, templateId: string): Promise<Template | undefined> {
  const row = await selectRow<Row>(tx, `SELECT ${columns} FROM template t WHERE t.id = ?`, [templateId]);
  return row && view(row);
}

export type TemplateFilter = InputOf<typeof contract>;
type Meant = TemplateFilter & { readonly folderIds: readonly string[] | undefined };

export async function listTemplates(tx: Queryable, who: Who, filter: Meant): Promise<Result<{ items: Template[]; next: string | null }>> {
  const page = await pageQuery<Row>(tx, {
    select: columns, from: 'template t', id: 't.id', orderBy: { createdAt: 't.created_at', name: 't.name' } satisfies SortsOf<typeof contract>, input: filter,
    where: [searchFilter(filter.q, 't.name'), labelFilter(filter.label, 't.labels'), accessFilter(who, 'template.read', { id: 't.id', ownerId: 't.owner_id', folderId: 't.folder_id' }), filter.name === undefined ? null : sql`t.name = ${filter.name}`, filter.folderIds === undefined ? null : sql`t.folder_id IN (${filter.folderIds})`],
  });
  return page.ok ? ok({ items: page.value.rows.map(view), next: page.value.next }) : page;
}

export type NewTemplate = Pick<Template, 'name' | 'description' | 'labels' | 'imageId' | 'volumeId' | 'diskBytes' | 'hardware' | 'ownerId' | 'folderId'> & { readonly id: string };

export async function insertTemplate(tx: EntityManager, template: NewTemplate): Promise<void> {
  const number = await nextNumber(tx, 'template');
  await unlessTaken(template.name, () => insertRow(tx, 'template', {
    id: template.id, number, name: template.name, description: template.description, labels: toJson(template.labels), image_id: template.imageId, volume_id: template.volumeId,
    disk_bytes: template.diskBytes, hardware: toJson(template.hardware), owner_id: template.ownerId, folder_id: template.folderId,
  }));
}

/** Answers 0 when the version is another by now. */
export const changeTemplate = (tx: EntityManager, template: Pick<Template, 'id' | 'name' | 'description' | 'labels' | 'version'>): Promise<number> =>
  unlessTaken(template.name, () => execute(tx, sql`UPDATE template SET name = ${template.name}, description = ${template.description}, labels = ${toJson(template.labels)},
    version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ${template.id} AND version = ${template.version}`));

async function unlessTaken<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isDuplicate(error)) throw error;
    throw new FaultError(NameTaken.fault(`A template named “${name}” exists.`, { noun: 'template', name }, error));
  }
}

export const deleteTemplateRow = (tx: EntityManager, templateId: string): Promise<number> => execute(tx, 'DELETE FROM template WHERE id = ?', [templateId]);
