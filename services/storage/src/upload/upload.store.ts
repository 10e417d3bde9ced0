// Rows of uploads on their way; the only file that knows the table.
import type { EntityManager } from 'typeorm';
import type { DatastoreId, HostId, UploadId } from '#contracts';
import { execute, insertRow, selectRow, selectRows } from '#database';
import type { Queryable } from '#database';

export interface Upload {
  readonly id: UploadId;
  readonly datastoreId: DatastoreId;
  readonly datastorePath: string;
  readonly hostId: HostId;
  readonly openedAt: Date;
}

const select = 'SELECT u.id, u.datastore_id AS datastoreId, d.path AS datastorePath, u.host_id AS hostId, u.created_at AS openedAt FROM upload u JOIN datastore d ON d.id = u.datastore_id';

export const findUpload = (tx: Queryable, uploadId: string): Promise<Upload | undefined> => selectRow<Upload>(tx, `${select} WHERE u.id = ?`, [uploadId]);

export const insertUpload = (tx: EntityManager, upload: Omit<Upload, 'datastorePath' | 'openedAt'>): Promise<number> =>
  insertRow(tx, 'upload', { id: upload.id, datastore_id: upload.datastoreId, host_id: upload.hostId });

export const deleteUpload = (tx: Queryable, uploadId: string): Promise<number> => execute(tx, 'DELETE FROM upload WHERE id = ?', [uploadId]);

/** Once a minute is enough: it keeps an upload that goes on from being taken for a forgotten one. */
export const touchUpload = (tx: Queryable, uploadId: string): Promise<number> =>
  execute(tx, 'UPDATE upload SET written_at = UTC_TIMESTAMP(3) WHERE id = ? AND written_at < UTC_TIMESTAMP(3) - INTERVAL 1 MINUTE', [uploadId]);

/** Not written to for so long, and not being ingested. */
export const forgottenUploads = (tx: Queryable, hours: number): Promise<Upload[]> =>
  selectRows<Upload>(tx, `${select} WHERE u.written_at < UTC_TIMESTAMP(3) - INTERVAL ? HOUR
    AND NOT EXISTS (SELECT 1 FROM task_lock l WHERE l.noun = 'upload' AND l.object_id = u.id) ORDER BY u.written_at LIMIT 100`, [hours]);
