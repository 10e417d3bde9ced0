// Rows of port groups; the only file that knows the table.
import type { EntityManager } from 'typeorm';
import type { PortGroup as Contract, PortGroupId, SwitchId } from '#contracts';
import { NameTaken } from '#contracts';
import type { InputOf, SortsOf, listPortGroups as contract } from '#contracts';
import { accessFilter, anyOf, execute, insertRow, isDuplicate, isoAt, nextNumber, pageQuery, searchFilter, selectRow, selectRows, sql } from '#database';
import type { Queryable, Who } from '#database';
import { FaultError, ok } from '#kernel';
import type { Result } from '#kernel';
import type { z } from 'zod';

export type PortGroup = z.output<typeof Contract>;
interface Row { id: PortGroupId; switch_id: SwitchId; name: string; description: string; vlan: number; number: number; version: number; ports: number | string; created_at: Date; updated_at: Date }

const columns = 'g.id, g.switch_id, g.name, g.description, g.vlan, g.number, g.version, g.created_at, g.updated_at, (SELECT COUNT(*) FROM port p WHERE p.port_group_id = g.id) AS ports';
const view = (row: Row): PortGroup => ({
  id: row.id, switchId: row.switch_id, name: row.name, description: row.description, vlan: row.vlan, ports: Number(row.ports),
  number: row.number, version: row.version, createdAt: isoAt(row.created_at), updatedAt: isoAt(row.updated_at),
});

export async function findPortGroup(tx: Queryable, portGroupId: string): Promise<PortGroup | undefined> {
  const row = await selectRow<Row>(tx, `SELECT ${columns} FROM port_group g WHERE g.id = ?`, [portGroupId]);
  return row && view(row);
}

export async function findPortGroups(tx: Queryable, ids: readonly string[]): Promise<PortGroup[]> {
  return (await selectRows<Row>(tx, sql`SELECT ${{ sql: columns, params: [] }} FROM port_group g WHERE g.id IN (${ids})`)).map(view);
}

/** Kept until the transaction ends: `share` while a port or subnet comes to it, `update` while it changes or goes. */
export async function lockPortGroup(tx: EntityManager, portGroupId: string, how: 'share' | 'update'): Promise<PortGroup | undefined> {
  const held = await selectRow(tx, `SELECT id FROM port_group WHERE id = ? ${how === 'share' ? 'LOCK IN SHARE MODE' : 'FOR UPDATE'}`, [portGroupId]);
  return held === undefined ? undefined : findPortGroup(tx, portGroupId);
}

export type PortGroupFilter = InputOf<typeof contract>;

/** Who may plug a VM into a port group sees it. */
export async function listPortGroups(tx: Queryable, who: Who, filter: PortGroupFilter): Promise<Result<{ items: PortGroup[]; next: string | null }>> {
  const page = await pageQuery<Row>(tx, {
    select: columns, from: 'port_group g', id: 'g.id', orderBy: { createdAt: 'g.created_at', name: 'g.name' } satisfies SortsOf<typeof contract>, input: filter,
    where: [
      searchFilter(filter.q, 'g.name'),
      anyOf([accessFilter(who, 'network.read', { id: 'g.id' }), accessFilter(who, 'network.use', { id: 'g.id' })]),
      filter.name === undefined ? null : sql`g.name = ${filter.name}`,
      filter.switchId === undefined ? null : sql`g.switch_id = ${filter.switchId}`,
    ],
  });
  return page.ok ? ok({ items: page.value.rows.map(view), next: page.value.next }) : page;
}

export async function insertPortGroup(tx: EntityManager, group: { readonly id: string; readonly switchId: string; readonly name: string; readonly description: string; readonly vlan: number }): Promise<void> {
  const number = await nextNumber(tx, 'port-group');
  await unlessTaken(group.name, () => insertRow(tx, 'port_group', { id: group.id, number, switch_id: group.switchId, name: group.name, description: group.description, vlan: group.vlan }));
}

export const renamePortGroup = (tx: EntityManager, group: { readonly id: string; readonly name: string; readonly description: string; readonly version: number }): Promise<number> =>
  unlessTaken(group.name, () => execute(tx, sql`UPDATE port_group SET name = ${group.name}, description = ${group.description}, version = version + 1, updated_at = UTC_TIMESTAMP(3)
    WHERE id = ${group.id} AND version = ${group.version}`));

async function unlessTaken<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isDuplicate(error)) throw error;
    throw new FaultError(NameTaken.fault(`A port group named “${name}” exists.`, { noun: 'port-group', name }, error));
  }
}

export const deletePortGroupRow = (tx: EntityManager, portGroupId: string): Promise<number> => execute(tx, 'DELETE FROM port_group WHERE id = ?', [portGroupId]);

/** Subnets and ports of a port group. */
export async function membersOf(tx: Queryable, portGroupId: string): Promise<{ noun: string; id: string }[]> {
  const subnets = await selectRows<{ id: string }>(tx, 'SELECT id FROM subnet WHERE port_group_id = ? LIMIT 20', [portGroupId]);
  const ports = await selectRows<{ id: string }>(tx, 'SELECT id FROM port WHERE port_group_id = ? LIMIT 20', [portGroupId]);
  return [...subnets.map(({ id }) => ({ noun: 'subnet', id })), ...ports.map(({ id }) => ({ noun: 'port', id }))];
}
