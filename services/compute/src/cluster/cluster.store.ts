// Rows of the site and its clusters. The first replica to start makes the site and a first cluster.
import type { DataSource, EntityManager } from 'typeorm';
import { clusterChanged, InUse, NameTaken, NotFound, VersionConflict, type Cluster, type Site, type InputOf, type SortsOf, type listClusters } from '#contracts';
import { accessFilter, execute, insertRow, isDuplicate, isoAt, nextNumber, pageQuery, searchFilter, selectRow, sql, transaction, type Page, type Queryable, type Who } from '#database';
import { FaultError, newUuid, ok, orThrow, type Result } from '#kernel';
import { emit } from '#tasks';
import type { z } from 'zod';

type ClusterValue = z.output<typeof Cluster>;
type SiteValue = z.output<typeof Site>;
interface Stamps { id: string; number: number; version: number; created_at: Date; updated_at: Date }
interface SiteRow extends Stamps { name: string; recycle_hold_ms: number | string }
interface ClusterRow extends Stamps { site_id: string; name: string; description: string; cpu_overcommit: number; memory_overcommit: number; recycle_hold_ms: number | string | null; hosts: number | string; vms: number | string }

const stampsOf = (row: Stamps) => ({ number: row.number, version: row.version, createdAt: isoAt(row.created_at), updatedAt: isoAt(row.updated_at) });
const siteOf = (row: SiteRow): SiteValue => ({ id: row.id as SiteValue['id'], name: row.name, recycleHoldMs: Number(row.recycle_hold_ms), ...stampsOf(row) });
const clusterOf = (row: ClusterRow): ClusterValue => ({
  id: row.id as ClusterValue['id'], siteId: row.site_id as ClusterValue['siteId'], name: row.name, description: row.description,
  cpuOvercommit: row.cpu_overcommit, memoryOvercommit: row.memory_overcommit, recycleHoldMs: row.recycle_hold_ms === null ? null : Number(row.recycle_hold_ms), hosts: Number(row.hosts), vms: Number(row.vms), ...stampsOf(row),
});
const columns = `cluster.*, (SELECT COUNT(*) FROM host WHERE host.cluster_id = cluster.id) AS hosts,
  (SELECT COUNT(*) FROM vm WHERE vm.cluster_id = cluster.id AND vm.deleted_at IS NULL) AS vms`;

/** Makes the site and its first cluster unless they are there; safe when replicas start together. */
export async function ensureSite(ds: DataSource): Promise<void> {
  try {
    await transaction(ds, async (tx) => {
      if (await selectRow(tx, 'SELECT id FROM site')) return;
      const siteId = newUuid();
      const now = await stamp(tx, 'site');
      await insertRow(tx, 'site', { id: siteId, name: 'site', ...now });
      const cluster = await insertCluster(tx, { name: 'cluster', description: '', cpuOvercommit: 8, memoryOvercommit: 1 });
      // The scheduler would go by a ratio of one until it asks by itself.
      await emit(tx, clusterChanged, { objectId: cluster.id, data: { cluster } });
    });
  } catch (error) {
    if (!isDuplicate(error)) throw error; // another replica was first
  }
}

async function stamp(tx: EntityManager, noun: string): Promise<{ number: number; created_at: Date; updated_at: Date }> {
  const number = await nextNumber(tx, noun);
  const row = await selectRow<{ now: Date }>(tx, 'SELECT UTC_TIMESTAMP(3) AS now');
  return { number, created_at: row!.now, updated_at: row!.now };
}
export { stamp };

export async function readSite(tx: Queryable): Promise<SiteValue> {
  const row = await selectRow<SiteRow>(tx, 'SELECT * FROM site');
  if (row === undefined) throw new Error('the site is not there although ensureSite ran');
  return siteOf(row);
}

export async function changeSite(tx: EntityManager, change: { name?: string | undefined; recycleHoldMs?: number | undefined }, version: number | undefined): Promise<SiteValue> {
  const site = await readSite(tx);
  if (version !== undefined && version !== site.version) throw new FaultError(conflict(version, site.version));
  await execute(tx, 'UPDATE site SET name = ?, recycle_hold_ms = ?, version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ?', [change.name ?? site.name, change.recycleHoldMs ?? site.recycleHoldMs, site.id]);
  return readSite(tx);
}

export const conflict = (expected: number, actual: number) => VersionConflict.fault(`The object has version ${actual}, not ${expected}: read it again.`, { expected, actual });

export async function insertCluster(tx: EntityManager, input: { name: string; description: string; cpuOvercommit: number; memoryOvercommit: number }): Promise<ClusterValue> {
  const id = newUuid();
  const site = await readSite(tx);
  try {
    await insertRow(tx, 'cluster', { id, site_id: site.id, name: input.name, description: input.description, cpu_overcommit: input.cpuOvercommit, memory_overcommit: input.memoryOvercommit, ...(await stamp(tx, 'cluster')) });
  } catch (error) {
    throw isDuplicate(error) ? new FaultError(NameTaken.fault(`There is a cluster called "${input.name}" already.`, { noun: 'cluster', name: input.name })) : error;
  }
  return (await findCluster(tx, id))!;
}

export async function findCluster(tx: Queryable, id: string): Promise<ClusterValue | undefined> {
  const row = await selectRow<ClusterRow>(tx, `SELECT ${columns} FROM cluster WHERE id = ?`, [id]);
  return row && clusterOf(row);
}

/** The cluster asked for, or the only one there is. */
export async function clusterFor(tx: Queryable, id: string | undefined): Promise<Result<ClusterValue>> {
  if (id !== undefined) {
    const found = await findCluster(tx, id);
    return found ? ok(found) : NotFound.fail('There is no cluster with this id.', { noun: 'cluster', id });
  }
  const page = orThrow(await pageQuery<ClusterRow>(tx, { select: columns, from: 'cluster', orderBy: { number: 'cluster.number' }, id: 'cluster.id', input: { limit: 1 } }));
  const first = page.rows[0];
  if (page.next === null && first) return ok(clusterOf(first));
  return NotFound.fail(first ? 'There is more than one cluster: name one.' : 'There is no cluster yet.', { noun: 'cluster', id: '' });
}

export async function pageOfClusters(tx: Queryable, who: Who, input: InputOf<typeof listClusters>): Promise<Result<{ items: ClusterValue[]; next: string | null }>> {
  const page: Result<Page<ClusterRow>> = await pageQuery<ClusterRow>(tx, {
    select: columns, from: 'cluster', orderBy: { name: 'cluster.name', createdAt: 'cluster.created_at' } satisfies SortsOf<typeof listClusters>, id: 'cluster.id', input,
    where: [accessFilter(who, 'cluster.read', { id: 'cluster.id', clusterId: 'cluster.id' }), input.name === undefined ? null : sql`cluster.name = ${input.name}`, searchFilter(input.q, 'cluster.name')],
  });
  return page.ok ? ok({ items: page.value.rows.map(clusterOf), next: page.value.next }) : page;
}

export interface ClusterChange { name?: string | undefined; description?: string | undefined; cpuOvercommit?: number | undefined; memoryOvercommit?: number | undefined; recycleHoldMs?: number | null | undefined }
export async function changeCluster(tx: EntityManager, cluster: ClusterValue, change: ClusterChange, version: number | undefined): Promise<ClusterValue> {
  if (version !== undefined && version !== cluster.version) throw new FaultError(conflict(version, cluster.version));
  try {
    const met = await execute(tx, `UPDATE cluster SET name = ?, description = ?, cpu_overcommit = ?, memory_overcommit = ?, recycle_hold_ms = ?, version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ? AND version = ?`,
      [change.name ?? cluster.name, change.description ?? cluster.description, change.cpuOvercommit ?? cluster.cpuOvercommit, change.memoryOvercommit ?? cluster.memoryOvercommit, change.recycleHoldMs === undefined ? cluster.recycleHoldMs : change.recycleHoldMs, cluster.id, cluster.version]);
    if (met === 0) throw new FaultError(conflict(cluster.version, cluster.version + 1));
  } catch (error) {
    throw isDuplicate(error) ? new FaultError(NameTaken.fault(`There is a cluster called "${change.name ?? ''}" already.`, { noun: 'cluster', name: change.name ?? '' })) : error;
  }
  return (await findCluster(tx, cluster.id))!;
}

export async function dropCluster(tx: EntityManager, cluster: ClusterValue): Promise<void> {
  const met = await execute(tx, `DELETE FROM cluster WHERE id = ? AND NOT EXISTS (SELECT 1 FROM host WHERE host.cluster_id = cluster.id) AND NOT EXISTS (SELECT 1 FROM vm WHERE vm.cluster_id = cluster.id AND vm.deleted_at IS NULL)`, [cluster.id]);
  if (met === 0) throw new FaultError(InUse.fault(`The cluster has ${cluster.hosts} hosts and ${cluster.vms} VMs.`, { by: [{ noun: cluster.hosts > 0 ? 'host' : 'vm', id: cluster.id }] }));
}
