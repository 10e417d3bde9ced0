// Rows of hosts: what was registered, what the agent told of itself, and whether it responds.
import type { EntityManager } from 'typeorm';
import { AlreadyExists, InUse, NameTaken, type Host, type HostInventory, type HostState, type InputOf, type SortsOf, type UnmanagedVm, type listHosts } from '#contracts';
import { accessFilter, execute, fromBit, fromJson, insertRow, isDuplicate, isoAt, pageQuery, searchFilter, selectRow, selectRows, sql, toJson, type Queryable, type Who } from '#database';
import { FaultError, canonicalJson, ok, type Result } from '#kernel';
import type { z } from 'zod';
import { conflict, stamp } from '../cluster/cluster.store.ts';

export type HostStateValue = z.output<typeof HostState>;
export type Unmanaged = z.output<typeof UnmanagedVm>;
interface HostRow {
  id: string; cluster_id: string; name: string; state: HostStateValue; state_since: Date; reason: string | null; maintenance: number; inventory: unknown; unmanaged: unknown;
  vms: number | string; number: number; version: number; created_at: Date; updated_at: Date;
}
const columns = 'host.*, (SELECT COUNT(*) FROM vm WHERE vm.host_id = host.id AND vm.deleted_at IS NULL) AS vms';
const hostOf = (row: HostRow): Host => ({
  id: row.id as Host['id'], clusterId: row.cluster_id as Host['clusterId'], name: row.name, state: row.state, stateSince: isoAt(row.state_since), reason: row.reason, maintenance: fromBit(row.maintenance),
  inventory: fromJson<HostInventory | null>(row.inventory), unmanaged: fromJson<Unmanaged[] | null>(row.unmanaged) ?? [], vms: Number(row.vms),
  number: row.number, version: row.version, createdAt: isoAt(row.created_at), updatedAt: isoAt(row.updated_at),
});

export async function findHost(tx: Queryable, id: string): Promise<Host | undefined> {
  const row = await selectRow<HostRow>(tx, `SELECT ${columns} FROM host WHERE id = ?`, [id]);
  return row && hostOf(row);
}

export async function pageOfHosts(tx: Queryable, who: Who, input: InputOf<typeof listHosts>): Promise<Result<{ items: Host[]; next: string | null }>> {
  const page = await pageQuery<HostRow>(tx, {
    select: columns, from: 'host', orderBy: { name: 'host.name', createdAt: 'host.created_at', state: 'host.state' } satisfies SortsOf<typeof listHosts>, id: 'host.id', input,
    where: [
      accessFilter(who, 'host.read', { id: 'host.id', clusterId: 'host.cluster_id' }),
      input.name === undefined ? null : sql`host.name = ${input.name}`,
      input.clusterId === undefined ? null : sql`host.cluster_id = ${input.clusterId}`,
      input.state === undefined ? null : sql`host.state = ${input.state}`,
      searchFilter(input.q, 'host.name'),
    ],
  });
  return page.ok ? ok({ items: page.value.rows.map(hostOf), next: page.value.next }) : page;
}

export async function insertHost(tx: EntityManager, input: { hostId: string; name: string; clusterId: string }): Promise<Host> {
  if (await findHost(tx, input.hostId)) throw new FaultError(AlreadyExists.fault('A host with this id is registered already.', { noun: 'host', id: input.hostId }));
  const now = await stamp(tx, 'host');
  try {
    await insertRow(tx, 'host', { id: input.hostId, cluster_id: input.clusterId, name: input.name, state: 'awaiting', state_since: now.created_at, ...now });
  } catch (error) {
    throw isDuplicate(error) ? new FaultError(NameTaken.fault(`There is a host called "${input.name}" already.`, { noun: 'host', name: input.name })) : error;
  }
  return (await findHost(tx, input.hostId))!;
}

export async function changeHost(tx: EntityManager, host: Host, change: { name?: string | undefined; maintenance?: boolean | undefined }, version: number | undefined): Promise<Host> {
  if (version !== undefined && version !== host.version) throw new FaultError(conflict(version, host.version));
  try {
    const met = await execute(tx, 'UPDATE host SET name = ?, maintenance = ?, version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ? AND version = ?',
      [change.name ?? host.name, change.maintenance ?? host.maintenance, host.id, host.version]);
    if (met === 0) throw new FaultError(conflict(host.version, host.version + 1));
  } catch (error) {
    throw isDuplicate(error) ? new FaultError(NameTaken.fault(`There is a host called "${change.name ?? ''}" already.`, { noun: 'host', name: change.name ?? '' })) : error;
  }
  return (await findHost(tx, host.id))!;
}

export async function dropHost(tx: EntityManager, host: Host): Promise<void> {
  const met = await execute(tx, 'DELETE FROM host WHERE id = ? AND NOT EXISTS (SELECT 1 FROM vm WHERE vm.host_id = host.id AND vm.deleted_at IS NULL)', [host.id]);
  if (met === 0) throw new FaultError(InUse.fault(`${host.vms} VMs are on the host or ran there last.`, { by: [{ noun: 'vm', id: host.id }] }));
}

/** Hosts of the cluster that have said that they can give a VM a TPM. */
export async function hostsWithTpm(tx: Queryable, clusterId: string): Promise<Host['id'][]> {
  const rows = await selectRows<{ id: string; inventory: unknown }>(tx, 'SELECT id, inventory FROM host WHERE cluster_id = ? AND inventory IS NOT NULL', [clusterId]);
  return rows.filter(({ inventory }) => fromJson<Partial<HostInventory>>(inventory).tpm === true).map(({ id }) => id as Host['id']);
}

/** True = something in it is new. */
export async function setInventory(tx: EntityManager, hostId: string, inventory: HostInventory, unmanaged: readonly Unmanaged[]): Promise<boolean> {
  const host = await findHost(tx, hostId);
  if (host && canonicalJson([host.inventory, host.unmanaged]) === canonicalJson([inventory, unmanaged])) return false;
  await execute(tx, 'UPDATE host SET inventory = ?, unmanaged = ?, version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ?', [toJson(inventory), toJson(unmanaged), hostId]);
  return true;
}
