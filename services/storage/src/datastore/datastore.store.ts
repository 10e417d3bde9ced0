// Rows of datastores and of the hosts that see them; the only file that knows these tables.
import type { EntityManager } from 'typeorm';
import type { Datastore, DatastoreId, HostId } from '#contracts';
import { accessFilter, execute, insertRows, isDuplicate, isoAt, nextNumber, pageQuery, searchFilter, selectRow, selectRows, sql } from '#database';
import type { Queryable, Who } from '#database';
import { NameTaken } from '#contracts';
import type { InputOf, SortsOf, listDatastores as contract } from '#contracts';
import { FaultError, ok } from '#kernel';
import type { Result } from '#kernel';
import { hostView } from './datastore.ts';
import type { Candidate, HostView } from './datastore.ts';

// The driver hands out 64-bit columns as text.
interface Row {
  id: DatastoreId; number: number; name: string; description: string; scope: Datastore['scope']; path: string;
  total_bytes: number | string; free_bytes: number | string; provisioned_bytes: number | string; claimed_bytes: number | string;
  version: number; created_at: Date; updated_at: Date;
}

const columns = `d.id, d.number, d.name, d.description, d.scope, d.path, d.total_bytes, d.free_bytes, d.version, d.created_at, d.updated_at,
  (SELECT COALESCE(SUM(v.size_bytes), 0) FROM volume v WHERE v.datastore_id = d.id) AS provisioned_bytes,
  (SELECT COALESCE(SUM(v.claimed_bytes), 0) FROM volume v WHERE v.datastore_id = d.id AND v.state = 'creating') AS claimed_bytes`;

/** A datastore with what only storage needs of it. */
export interface StoredDatastore {
  readonly datastore: Datastore;
  readonly hosts: readonly HostView[];
  /** Free bytes less those that running copies will still write. */
  readonly availableBytes: number;
}

function toStored(row: Row, hosts: readonly HostView[]): StoredDatastore {
  return {
    datastore: {
      id: row.id, name: row.name, description: row.description, type: 'directory', scope: row.scope, path: row.path, hosts: hosts.map(hostView),
      totalBytes: Number(row.total_bytes), freeBytes: Number(row.free_bytes), provisionedBytes: Number(row.provisioned_bytes),
      number: row.number, version: row.version, createdAt: isoAt(row.created_at), updatedAt: isoAt(row.updated_at),
    },
    hosts,
    availableBytes: Math.max(0, Number(row.free_bytes) - Number(row.claimed_bytes)),
  };
}

async function withHosts(tx: Queryable, rows: readonly Row[]): Promise<StoredDatastore[]> {
  if (rows.length === 0) return [];
  const hosts = await hostsOf(tx, rows.map((row) => row.id));
  return rows.map((row) => toStored(row, hosts.get(row.id) ?? []));
}

export async function hostsOf(tx: Queryable, datastoreIds: readonly string[]): Promise<Map<string, HostView[]>> {
  interface HostRow { datastore_id: string; host_id: HostId; seen: number; reason: string | null; state: string | null }
  const rows = await selectRows<HostRow>(tx, sql`
    SELECT dh.datastore_id, dh.host_id, dh.seen, dh.reason, h.state FROM datastore_host dh LEFT JOIN host h ON h.id = dh.host_id
    WHERE dh.datastore_id IN (${datastoreIds}) ORDER BY dh.host_id`);
  const found = new Map<string, HostView[]>();
  for (const row of rows) {
    const list = found.get(row.datastore_id) ?? [];
    list.push({ hostId: row.host_id, seen: row.seen === 1, hostState: row.state, reason: row.reason });
    found.set(row.datastore_id, list);
  }
  return found;
}

export async function findDatastore(tx: Queryable, datastoreId: string): Promise<StoredDatastore | undefined> {
  return (await withHosts(tx, await selectRows<Row>(tx, `SELECT ${columns} FROM datastore d WHERE d.id = ?`, [datastoreId])))[0];
}

/** Keeps the row until the transaction ends, so that no volume and no upload comes to a datastore that goes. */
export async function lockDatastore(tx: EntityManager, datastoreId: string): Promise<boolean> {
  return (await selectRow(tx, 'SELECT id FROM datastore WHERE id = ? FOR UPDATE', [datastoreId])) !== undefined;
}

export async function allDatastores(tx: Queryable): Promise<StoredDatastore[]> {
  return withHosts(tx, await selectRows<Row>(tx, `SELECT ${columns} FROM datastore d ORDER BY d.id`));
}

export const toCandidate = (store: StoredDatastore): Candidate => ({ id: store.datastore.id, scope: store.datastore.scope, availableBytes: store.availableBytes, hosts: store.hosts });

export type DatastoreFilter = InputOf<typeof contract>;

export async function listDatastores(tx: Queryable, who: Who, filter: DatastoreFilter): Promise<Result<{ items: Datastore[]; next: string | null }>> {
  const page = await pageQuery<Row>(tx, {
    select: columns, from: 'datastore d', id: 'd.id', orderBy: { createdAt: 'd.created_at', name: 'd.name' } satisfies SortsOf<typeof contract>, input: filter,
    where: [
      searchFilter(filter.q, 'd.name'),
      accessFilter(who, 'datastore.read', { id: 'd.id' }),
      filter.name === undefined ? null : sql`d.name = ${filter.name}`,
      filter.hostId === undefined ? null : sql`EXISTS (SELECT 1 FROM datastore_host x WHERE x.datastore_id = d.id AND x.host_id = ${filter.hostId})`,
    ],
  });
  if (!page.ok) return page;
  return ok({ items: (await withHosts(tx, page.value.rows)).map((store) => store.datastore), next: page.value.next });
}

export const isRegistered = async (tx: Queryable, datastoreId: string): Promise<boolean> =>
  (await selectRow(tx, 'SELECT id FROM datastore WHERE id = ?', [datastoreId])) !== undefined;

export interface NewDatastore {
  readonly id: string; readonly name: string; readonly description: string; readonly scope: string; readonly path: string;
  readonly totalBytes: number; readonly freeBytes: number; readonly hostIds: readonly string[];
}

export async function insertDatastore(tx: EntityManager, store: NewDatastore): Promise<void> {
  const number = await nextNumber(tx, 'datastore');
  try {
    await insertRows(tx, 'datastore', [{ id: store.id, number, name: store.name, description: store.description, scope: store.scope, path: store.path, total_bytes: store.totalBytes, free_bytes: store.freeBytes }]);
  } catch (error) {
    if (!isDuplicate(error)) throw error;
    throw new FaultError(NameTaken.fault(`A datastore named “${store.name}” exists, or the directory has just been registered.`, { noun: 'datastore', name: store.name }, error));
  }
  await insertRows(tx, 'datastore_host', store.hostIds.map((hostId) => ({ datastore_id: store.id, host_id: hostId, seen: true, reason: null })));
}

/** What still lies on the datastore: volumes first, then uploads. */
export async function residents(tx: Queryable, datastoreId: string): Promise<{ noun: string; id: string }[]> {
  const volumes = await selectRows<{ id: string }>(tx, 'SELECT id FROM volume WHERE datastore_id = ? LIMIT 20', [datastoreId]);
  const uploads = await selectRows<{ id: string }>(tx, 'SELECT id FROM upload WHERE datastore_id = ? LIMIT 20', [datastoreId]);
  return [...volumes.map(({ id }) => ({ noun: 'volume', id })), ...uploads.map(({ id }) => ({ noun: 'upload', id }))];
}

export const deleteDatastoreRow = (tx: EntityManager, datastoreId: string): Promise<number> => execute(tx, 'DELETE FROM datastore WHERE id = ?', [datastoreId]);

/** New numbers of the file system; a change of less than a MiB is no news. Answers whether it was news. */
export async function recordCapacity(tx: Queryable, datastoreId: string, bytes: { readonly totalBytes: number; readonly freeBytes: number }): Promise<boolean> {
  const met = await execute(tx, sql`UPDATE datastore SET total_bytes = ${bytes.totalBytes}, free_bytes = ${bytes.freeBytes}, version = version + 1, updated_at = UTC_TIMESTAMP(3)
    WHERE id = ${datastoreId} AND (total_bytes <> ${bytes.totalBytes} OR ABS(CAST(free_bytes AS SIGNED) - ${bytes.freeBytes}) >= 1048576)`);
  return met > 0;
}

/** What a probe on a host found. Answers whether that is another answer than the last. */
export async function recordSight(tx: Queryable, datastoreId: string, hostId: string, seen: boolean, reason: string | null): Promise<boolean> {
  const met = await execute(tx, sql`UPDATE datastore_host SET seen = ${seen}, reason = ${reason?.slice(0, 500) ?? null}
    WHERE datastore_id = ${datastoreId} AND host_id = ${hostId} AND (seen <> ${seen} OR NOT (reason <=> ${reason?.slice(0, 500) ?? null}))`);
  return met > 0;
}

export const datastoreIdsOfHost = async (tx: Queryable, hostId: string): Promise<DatastoreId[]> =>
  (await selectRows<{ id: DatastoreId }>(tx, 'SELECT datastore_id AS id FROM datastore_host WHERE host_id = ?', [hostId])).map(({ id }) => id);
