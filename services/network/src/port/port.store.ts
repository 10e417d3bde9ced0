// Rows of ports; the only file that knows the table. Its unique keys are what makes an address and a MAC nobody else's.
import type { EntityManager } from 'typeorm';
import type { FolderId, NicId, Port as Contract, PortGroupId, PortId, SubnetId, UserId, VmId } from '#contracts';
import type { InputOf, SortsOf, listPorts as contract } from '#contracts';
import { accessFilter, execute, insertRow, isDuplicate, isoAt, nextNumber, pageQuery, selectRow, selectRows, sql } from '#database';
import type { Queryable, Who } from '#database';
import { ok } from '#kernel';
import type { Result } from '#kernel';
import type { z } from 'zod';
import { formatIpv4, parseIpv4 } from '../subnet/subnet.ts';
import type { AddressRange } from '../subnet/subnet.ts';

export type Port = z.output<typeof Contract>;
interface Row {
  id: PortId; port_group_id: PortGroupId; vm_id: VmId; nic_id: NicId; mac: string; subnet_id: SubnetId | null; ip: number | null;
  owner_id: UserId | null; folder_id: FolderId | null; number: number; version: number; created_at: Date; updated_at: Date;
}
const columns = 'p.id, p.port_group_id, p.vm_id, p.nic_id, p.mac, p.subnet_id, p.ip, p.owner_id, p.folder_id, p.number, p.version, p.created_at, p.updated_at';

const view = (row: Row): Port => ({
  id: row.id, portGroupId: row.port_group_id, vmId: row.vm_id, nicId: row.nic_id, mac: row.mac, ip: row.ip === null ? null : formatIpv4(row.ip), subnetId: row.subnet_id,
  ownerId: row.owner_id, folderId: row.folder_id, number: row.number, version: row.version, createdAt: isoAt(row.created_at), updatedAt: isoAt(row.updated_at),
});

export async function findPort(tx: Queryable, portId: string): Promise<Port | undefined> {
  const row = await selectRow<Row>(tx, `SELECT ${columns} FROM port p WHERE p.id = ?`, [portId]);
  return row && view(row);
}

export const portsOfVm = async (tx: Queryable, vmId: string): Promise<Port[]> =>
  (await selectRows<Row>(tx, `SELECT ${columns} FROM port p WHERE p.vm_id = ? ORDER BY p.number`, [vmId])).map(view);

export const portsInSubnet = async (tx: Queryable, subnetId: string): Promise<string[]> =>
  (await selectRows<{ id: string }>(tx, 'SELECT id FROM port WHERE subnet_id = ? LIMIT 20', [subnetId])).map(({ id }) => id);

export async function takenIn(tx: Queryable, subnetId: string, window: AddressRange): Promise<Set<number>> {
  const rows = await selectRows<{ ip: number }>(tx, 'SELECT ip FROM port WHERE subnet_id = ? AND ip BETWEEN ? AND ?', [subnetId, window.from, window.to]);
  return new Set(rows.map(({ ip }) => ip));
}

export const countIn = async (tx: Queryable, subnetId: string): Promise<number> =>
  Number((await selectRow<{ used: number | string }>(tx, 'SELECT COUNT(*) AS used FROM port WHERE subnet_id = ?', [subnetId]))?.used ?? 0);

export interface NewPort {
  readonly id: string; readonly portGroupId: string; readonly vmId: string; readonly nicId: string; readonly mac: string;
  readonly subnetId: string | null; readonly ip: number | null; readonly ownerId: string | null; readonly folderId: string | null;
}

/** False when the MAC is somebody else's; the transaction goes on. */
export async function insertPort(tx: EntityManager, port: NewPort, number: number): Promise<boolean> {
  try {
    await insertRow(tx, 'port', {
      id: port.id, number, port_group_id: port.portGroupId, vm_id: port.vmId, nic_id: port.nicId, mac: port.mac, subnet_id: port.subnetId, ip: port.ip, owner_id: port.ownerId, folder_id: port.folderId,
    });
    return true;
  } catch (error) {
    if (isDuplicate(error) && (await selectRow(tx, 'SELECT id FROM port WHERE mac = ?', [port.mac])) !== undefined) return false;
    throw error;
  }
}

/** The port, kept until the transaction ends. */
export async function lockPort(tx: EntityManager, portId: string): Promise<Port | undefined> {
  const held = await selectRow(tx, 'SELECT id FROM port WHERE id = ? FOR UPDATE', [portId]);
  return held === undefined ? undefined : findPort(tx, portId);
}

export const rewirePort = (tx: EntityManager, portId: string, to: Pick<NewPort, 'portGroupId' | 'subnetId' | 'ip'>): Promise<number> =>
  execute(tx, sql`UPDATE port SET port_group_id = ${to.portGroupId}, subnet_id = ${to.subnetId}, ip = ${to.ip}, version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ${portId}`);

export const nextPortNumber = (tx: EntityManager): Promise<number> => nextNumber(tx, 'port');

export const deletePorts = (tx: EntityManager, ids: readonly string[]): Promise<number> =>
  (ids.length === 0 ? Promise.resolve(0) : execute(tx, sql`DELETE FROM port WHERE id IN (${[...ids]})`));

export type PortFilter = InputOf<typeof contract>;

export async function listPorts(tx: Queryable, who: Who, filter: PortFilter): Promise<Result<{ items: Port[]; next: string | null }>> {
  const page = await pageQuery<Row>(tx, {
    select: columns, from: 'port p', id: 'p.id', orderBy: { createdAt: 'p.created_at' } satisfies SortsOf<typeof contract>, input: filter,
    where: [
      accessFilter(who, 'network.read', { id: 'p.id', ownerId: 'p.owner_id', folderId: 'p.folder_id' }),
      filter.portGroupId === undefined ? null : sql`p.port_group_id = ${filter.portGroupId}`,
      filter.vmId === undefined ? null : sql`p.vm_id = ${filter.vmId}`,
      filter.ip === undefined ? null : sql`p.ip = ${parseIpv4(filter.ip)}`,
      filter.mac === undefined ? null : sql`p.mac = ${filter.mac}`,
    ],
  });
  return page.ok ? ok({ items: page.value.rows.map(view), next: page.value.next }) : page;
}
