// Rows of switches and of their hosts; the only file that knows these tables.
import type { EntityManager } from 'typeorm';
import type { HostId, SwitchId } from '#contracts';
import { NameTaken } from '#contracts';
import type { InputOf, SortsOf, listSwitches as contract } from '#contracts';
import { accessFilter, execute, fromBit, fromJson, insertRow, insertRows, isDuplicate, isoAt, nextNumber, pageQuery, searchFilter, selectRow, selectRows, sql, toJson } from '#database';
import type { Queryable, Who } from '#database';
import { FaultError, ok } from '#kernel';
import type { Result } from '#kernel';
import { concernsHosts, switchView } from './switch.ts';
import type { DistributedSwitch, HostApplyState, StoredSwitch, SwitchHost, SwitchSpec, UplinkList } from './switch.ts';

interface Row {
  id: SwitchId; number: number; name: string; description: string; mtu: number; uplinks: unknown; generation: number; deleting: number; version: number; created_at: Date; updated_at: Date;
}
const columns = 's.id, s.number, s.name, s.description, s.mtu, s.uplinks, s.generation, s.deleting, s.version, s.created_at, s.updated_at';

async function withHosts(tx: Queryable, rows: readonly Row[]): Promise<StoredSwitch[]> {
  if (rows.length === 0) return [];
  interface HostRow { switch_id: string; host_id: HostId; wanted: number; state: HostApplyState; reason: string | null; attempt: number; recheck: number; host_state: string | null }
  const found = await selectRows<HostRow>(tx, sql`
    SELECT sh.switch_id, sh.host_id, sh.wanted, sh.state, sh.reason, sh.attempt, sh.recheck, h.state AS host_state
    FROM dvswitch_host sh LEFT JOIN host h ON h.id = sh.host_id WHERE sh.switch_id IN (${rows.map((row) => row.id)}) ORDER BY sh.host_id`);
  const hosts = Map.groupBy(found, (row) => row.switch_id);
  return rows.map((row) => ({
    id: row.id, number: row.number, name: row.name, description: row.description, mtu: row.mtu, uplinks: fromJson<UplinkList>(row.uplinks), generation: row.generation,
    deleting: fromBit(row.deleting), version: row.version, createdAt: isoAt(row.created_at), updatedAt: isoAt(row.updated_at),
    hosts: (hosts.get(row.id) ?? []).map((host): SwitchHost => ({
      hostId: host.host_id, wanted: fromBit(host.wanted), state: host.state, reason: host.reason, attempt: host.attempt, recheck: fromBit(host.recheck), hostState: host.host_state,
    })),
  }));
}

/** A living switch. */
export async function findSwitch(tx: Queryable, switchId: string): Promise<StoredSwitch | undefined> {
  return (await withHosts(tx, await selectRows<Row>(tx, `SELECT ${columns} FROM dvswitch s WHERE s.id = ? AND s.live_name IS NOT NULL`, [switchId])))[0];
}

/** Also one that is deleted and only waits for absent hosts. */
export async function findAnySwitch(tx: Queryable, switchId: string): Promise<StoredSwitch | undefined> {
  return (await withHosts(tx, await selectRows<Row>(tx, `SELECT ${columns} FROM dvswitch s WHERE s.id = ?`, [switchId])))[0];
}

/** Kept until the transaction ends: `share` while a port group comes to it, `update` while it changes or goes. */
export async function lockSwitch(tx: EntityManager, switchId: string, how: 'share' | 'update'): Promise<StoredSwitch | undefined> {
  const held = await selectRow(tx, `SELECT id FROM dvswitch WHERE id = ? ${how === 'share' ? 'LOCK IN SHARE MODE' : 'FOR UPDATE'}`, [switchId]);
  return held === undefined ? undefined : findSwitch(tx, switchId);
}

export async function findSwitches(tx: Queryable, switchIds: readonly string[]): Promise<StoredSwitch[]> {
  return withHosts(tx, await selectRows<Row>(tx, sql`SELECT ${{ sql: columns, params: [] }} FROM dvswitch s WHERE s.id IN (${switchIds})`));
}

export type SwitchFilter = InputOf<typeof contract>;

export async function listSwitches(tx: Queryable, who: Who, filter: SwitchFilter): Promise<Result<{ items: DistributedSwitch[]; next: string | null }>> {
  const page = await pageQuery<Row>(tx, {
    select: columns, from: 'dvswitch s', id: 's.id', orderBy: { createdAt: 's.created_at', name: 's.name' } satisfies SortsOf<typeof contract>, input: filter,
    where: [searchFilter(filter.q, 's.live_name'), sql`s.live_name IS NOT NULL`, accessFilter(who, 'network.read', { id: 's.id' }), filter.name === undefined ? null : sql`s.live_name = ${filter.name}`],
  });
  if (!page.ok) return page;
  return ok({ items: (await withHosts(tx, page.value.rows)).map(switchView), next: page.value.next });
}

export async function insertSwitch(tx: EntityManager, id: string, spec: SwitchSpec): Promise<void> {
  const number = await nextNumber(tx, 'switch');
  await unlessTaken(spec.name, () => insertRow(tx, 'dvswitch', { id, number, name: spec.name, live_name: spec.name, description: spec.description, mtu: spec.mtu, uplinks: toJson(spec.uplinks) }));
  await insertRows(tx, 'dvswitch_host', spec.uplinks.map(({ hostId }) => ({ switch_id: id, host_id: hostId, wanted: true, state: 'pending' })));
}

/** A new generation: every host of the old and of the new uplinks has to be told. */
export async function rewriteSwitch(tx: EntityManager, id: string, spec: SwitchSpec, tellHosts: boolean): Promise<void> {
  await unlessTaken(spec.name, () => execute(tx, sql`UPDATE dvswitch SET name = ${spec.name}, live_name = ${spec.name}, description = ${spec.description}, mtu = ${spec.mtu},
    uplinks = ${toJson(spec.uplinks)}, generation = generation + ${tellHosts ? 1 : 0}, version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ${id}`));
  if (!tellHosts) return;
  const hostIds = spec.uplinks.map(({ hostId }) => hostId);
  await execute(tx, sql`UPDATE dvswitch_host SET wanted = host_id IN (${hostIds}), state = 'pending', reason = NULL, attempt = attempt + 1 WHERE switch_id = ${id}`);
  for (const hostId of hostIds) {
    await execute(tx, sql`INSERT INTO dvswitch_host (switch_id, host_id, wanted, state) VALUES (${id}, ${hostId}, 1, 'pending') ON DUPLICATE KEY UPDATE wanted = 1`);
  }
}

async function unlessTaken(name: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isDuplicate(error)) throw error;
    throw new FaultError(NameTaken.fault(`A switch named “${name}” exists.`, { noun: 'switch', name }, error));
  }
}

/** From now on no port group may come to it, and every host has to forget it. */
export async function markDeleting(tx: EntityManager, id: string): Promise<void> {
  await execute(tx, 'UPDATE dvswitch SET deleting = 1, generation = generation + 1, version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ?', [id]);
  await execute(tx, "UPDATE dvswitch_host SET wanted = 0, state = 'pending', reason = NULL, attempt = attempt + 1 WHERE switch_id = ?", [id]);
}

/** Back to what hosts had, under the name that the switch has now: after a change or a deletion that hosts refused. */
export async function restoreSwitch(tx: EntityManager, id: string, before: Pick<SwitchSpec, 'mtu' | 'uplinks'>): Promise<void> {
  const stored = await findSwitch(tx, id);
  if (stored === undefined || (!stored.deleting && !concernsHosts(stored, { ...stored, ...before }))) return;
  await execute(tx, 'UPDATE dvswitch SET deleting = 0 WHERE id = ?', [id]);
  await rewriteSwitch(tx, id, { name: stored.name, description: stored.description, ...before }, true);
}

/** The name is free again; the row itself goes with the last host that has to forget the switch. */
export async function buryMarked(tx: EntityManager, id: string): Promise<void> {
  await execute(tx, 'UPDATE dvswitch SET live_name = NULL, deleting = 1 WHERE id = ?', [id]);
  await execute(tx, "UPDATE dvswitch_host SET wanted = 0, state = 'pending', attempt = attempt + 1 WHERE switch_id = ? AND wanted = 1", [id]);
  await dropBuried(tx);
}

export const dropBuried = (tx: Queryable): Promise<number> =>
  execute(tx, 'DELETE FROM dvswitch WHERE live_name IS NULL AND NOT EXISTS (SELECT 1 FROM dvswitch_host h WHERE h.switch_id = dvswitch.id)');

/** What a host answered about `generation`; nothing when the switch has moved on meanwhile. Answers whether it was recorded. */
export async function recordApplied(tx: EntityManager, stored: StoredSwitch, host: SwitchHost, answer: { readonly state: HostApplyState; readonly reason: string | null }): Promise<boolean> {
  const same = sql`switch_id = ${stored.id} AND host_id = ${host.hostId} AND wanted = ${host.wanted} AND attempt = ${host.attempt}
    AND EXISTS (SELECT 1 FROM dvswitch s WHERE s.id = ${stored.id} AND s.generation = ${stored.generation})`;
  if (!host.wanted && answer.state === 'applied') return (await execute(tx, sql`DELETE FROM dvswitch_host WHERE ${same}`)) > 0;
  return (await execute(tx, sql`UPDATE dvswitch_host SET state = ${answer.state}, reason = ${answer.reason?.slice(0, 500) ?? null}, recheck = 0,
    generation = IF(${answer.state} = 'applied', ${stored.generation}, generation), attempt = attempt + 1, tried_at = UTC_TIMESTAMP(3) WHERE ${same}`)) > 0;
}

/** Failed parts are tried again after a while: whatever was missing on the host may be there now. */
export const retryFailed = (tx: Queryable, afterSeconds: number): Promise<number> =>
  execute(tx, "UPDATE dvswitch_host SET state = 'pending' WHERE state = 'failed' AND tried_at < UTC_TIMESTAMP(3) - INTERVAL ? SECOND", [afterSeconds]);

/** Switches with a host that has to be told and can be. A switch that a task works on is that task's. */
export const switchesDue = async (tx: Queryable): Promise<SwitchId[]> =>
  (await selectRows<{ id: SwitchId }>(tx, `SELECT DISTINCT sh.switch_id AS id FROM dvswitch_host sh JOIN host h ON h.id = sh.host_id AND h.state = 'connected'
    WHERE (sh.state = 'pending' OR sh.recheck = 1) AND NOT EXISTS (SELECT 1 FROM task_lock l WHERE l.noun = 'switch' AND l.object_id = sh.switch_id)`)).map(({ id }) => id);

/** The host's agent has started anew: whether its switches are as they were is asked again. */
export const recheckHost = (tx: EntityManager, hostId: string): Promise<number> =>
  execute(tx, "UPDATE dvswitch_host SET recheck = 1, attempt = attempt + 1, state = IF(state = 'failed', 'pending', state) WHERE host_id = ?", [hostId]);

/** The host is no longer of the pool: no switch names it any more. */
export async function dropHost(tx: EntityManager, hostId: string): Promise<void> {
  for (const stored of await withHosts(tx, await selectRows<Row>(tx, `SELECT ${columns} FROM dvswitch s WHERE s.id IN (SELECT switch_id FROM dvswitch_host WHERE host_id = ?)`, [hostId]))) {
    await execute(tx, 'UPDATE dvswitch SET uplinks = ?, version = version + 1 WHERE id = ?', [toJson(stored.uplinks.filter((uplink) => uplink.hostId !== hostId)), stored.id]);
  }
  await execute(tx, 'DELETE FROM dvswitch_host WHERE host_id = ?', [hostId]);
  await dropBuried(tx);
}

export const portGroupsOn = async (tx: Queryable, switchId: string): Promise<string[]> =>
  (await selectRows<{ id: string }>(tx, 'SELECT id FROM port_group WHERE switch_id = ? LIMIT 20', [switchId])).map(({ id }) => id);
