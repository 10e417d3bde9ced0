// Rows of subnets; the only file that knows the table. Addresses are numbers in it, so that ranges can be searched.
import type { EntityManager } from 'typeorm';
import type { PortGroupId, Subnet as Contract, SubnetId } from '#contracts';
import { InUse, NameTaken } from '#contracts';
import type { InputOf, SortsOf, listSubnets as contract } from '#contracts';
import { accessFilter, execute, fromJson, insertRow, isDuplicate, isoAt, nextNumber, pageQuery, searchFilter, selectRow, selectRows, sql, toJson } from '#database';
import type { Queryable, Who } from '#database';
import { FaultError, ok } from '#kernel';
import type { Result } from '#kernel';
import type { z } from 'zod';
import { assignable, formatIpv4 } from './subnet.ts';
import type { AddressRange } from './subnet.ts';

export type Subnet = z.output<typeof Contract>;
interface Row {
  id: SubnetId; port_group_id: PortGroupId; name: string; cidr: string; gateway: number | null; dns: unknown; range_from: number; range_to: number; next_ip: number; lease_seconds: number;
  used: number | string; number: number; version: number; created_at: Date; updated_at: Date;
}
const columns = `s.id, s.port_group_id, s.name, s.cidr, s.gateway, s.dns, s.range_from, s.range_to, s.next_ip, s.lease_seconds, s.number, s.version, s.created_at, s.updated_at,
  (SELECT COUNT(*) FROM port p WHERE p.subnet_id = s.id) AS used`;

const view = (row: Row): Subnet => ({
  id: row.id, portGroupId: row.port_group_id, name: row.name, cidr: row.cidr, gateway: row.gateway === null ? null : formatIpv4(row.gateway), dns: fromJson<string[]>(row.dns),
  range: { from: formatIpv4(row.range_from), to: formatIpv4(row.range_to) }, leaseSeconds: row.lease_seconds,
  addresses: { total: assignable({ from: row.range_from, to: row.range_to }, row.gateway), used: Number(row.used) },
  number: row.number, version: row.version, createdAt: isoAt(row.created_at), updatedAt: isoAt(row.updated_at),
});

/** What the assignment of addresses works with. */
export interface AddressPool {
  readonly subnetId: SubnetId;
  readonly range: AddressRange;
  readonly gateway: number | null;
  readonly cursor: number;
}

export async function findSubnet(tx: Queryable, subnetId: string): Promise<Subnet | undefined> {
  const row = await selectRow<Row>(tx, `SELECT ${columns} FROM subnet s WHERE s.id = ?`, [subnetId]);
  return row && view(row);
}

export async function findSubnets(tx: Queryable, ids: readonly string[]): Promise<Subnet[]> {
  return (await selectRows<Row>(tx, sql`SELECT ${{ sql: columns, params: [] }} FROM subnet s WHERE s.id IN (${ids})`)).map(view);
}

/** The pool of a port group's subnet, held until the transaction ends: assignments of one subnet come one after another. */
export async function lockPool(tx: EntityManager, portGroupId: string): Promise<AddressPool | undefined> {
  const row = await selectRow<Pick<Row, 'id' | 'range_from' | 'range_to' | 'gateway' | 'next_ip'>>(tx, 'SELECT id, range_from, range_to, gateway, next_ip FROM subnet WHERE port_group_id = ? FOR UPDATE', [portGroupId]);
  return row && { subnetId: row.id, range: { from: row.range_from, to: row.range_to }, gateway: row.gateway, cursor: row.next_ip };
}

export const lockSubnet = async (tx: EntityManager, subnetId: string): Promise<boolean> => (await selectRow(tx, 'SELECT id FROM subnet WHERE id = ? FOR UPDATE', [subnetId])) !== undefined;

export const moveCursor = (tx: EntityManager, subnetId: string, nextIp: number): Promise<number> => execute(tx, 'UPDATE subnet SET next_ip = ? WHERE id = ?', [nextIp, subnetId]);

export type SubnetFilter = InputOf<typeof contract>;

export async function listSubnets(tx: Queryable, who: Who, filter: SubnetFilter): Promise<Result<{ items: Subnet[]; next: string | null }>> {
  const page = await pageQuery<Row>(tx, {
    select: columns, from: 'subnet s', id: 's.id', orderBy: { createdAt: 's.created_at', name: 's.name' } satisfies SortsOf<typeof contract>, input: filter,
    where: [
      searchFilter(filter.q, 's.name'),
      accessFilter(who, 'network.read', { id: 's.id' }),
      filter.name === undefined ? null : sql`s.name = ${filter.name}`,
      filter.portGroupId === undefined ? null : sql`s.port_group_id = ${filter.portGroupId}`,
    ],
  });
  return page.ok ? ok({ items: page.value.rows.map(view), next: page.value.next }) : page;
}

export interface NewSubnet {
  readonly id: string; readonly portGroupId: string; readonly name: string; readonly cidr: string; readonly gateway: number | null; readonly dns: readonly string[];
  readonly range: AddressRange; readonly leaseSeconds: number;
}

export async function insertSubnet(tx: EntityManager, subnet: NewSubnet): Promise<void> {
  const number = await nextNumber(tx, 'subnet');
  try {
    await insertRow(tx, 'subnet', {
      id: subnet.id, number, port_group_id: subnet.portGroupId, name: subnet.name, cidr: subnet.cidr, gateway: subnet.gateway, dns: toJson(subnet.dns),
      range_from: subnet.range.from, range_to: subnet.range.to, next_ip: subnet.range.from, lease_seconds: subnet.leaseSeconds,
    });
  } catch (error) {
    if (!isDuplicate(error)) throw error;
    const other = await selectRow<{ id: string }>(tx, 'SELECT id FROM subnet WHERE port_group_id = ?', [subnet.portGroupId]);
    if (other !== undefined) throw new FaultError(InUse.fault('The port group has a subnet already.', { by: [{ noun: 'subnet', id: other.id }] }, error));
    throw new FaultError(NameTaken.fault(`A subnet named “${subnet.name}” exists.`, { noun: 'subnet', name: subnet.name }, error));
  }
}

export const deleteSubnetRow = (tx: EntityManager, subnetId: string): Promise<number> => execute(tx, 'DELETE FROM subnet WHERE id = ?', [subnetId]);
