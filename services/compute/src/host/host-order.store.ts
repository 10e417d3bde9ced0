// Rows of what was heard of hosts, and when: the order of their reports and whether they respond.
import type { EntityManager } from 'typeorm';
import type { HostState, ReportOrder } from '#contracts';
import { execute, fromJson, selectRow, selectRows, toJson, type Queryable } from '#database';
import type { z } from 'zod';
import { ageOfJoin, ageOfVmReport, pastBootsWith, type Age, type HeardOf } from './host.ts';

type HostStateValue = z.output<typeof HostState>;
interface OrderRow { boot_id: string | null; past_boots: unknown; report_epoch: number | string; report_seq: number | string }
const heardOf = (row: OrderRow): HeardOf => ({
  bootId: row.boot_id, pastBoots: fromJson<string[] | null>(row.past_boots) ?? [], epoch: Number(row.report_epoch), seq: Number(row.report_seq),
});
const columns = 'SELECT boot_id, past_boots, report_epoch, report_seq FROM host WHERE id = ?';

/** Takes the place of a report of everything in the host's order, if it is news. Undefined = no such host. */
export async function takeOrder(tx: EntityManager, hostId: string, order: ReportOrder): Promise<Age | undefined> {
  const row = await selectRow<OrderRow>(tx, `${columns} FOR UPDATE`, [hostId]);
  if (!row) return undefined;
  const heard = heardOf(row);
  const age = ageOfJoin(heard, order);
  if (age !== 'news') return age;
  await execute(tx, 'UPDATE host SET boot_id = ?, past_boots = ?, report_epoch = ?, report_seq = ? WHERE id = ?',
    [order.bootId, toJson(pastBootsWith(heard, order.bootId)), order.epoch, order.seq, hostId]);
  return 'news';
}

/** Whether what a host says of one VM belongs to its present boot. Undefined = no such host. */
export async function vmReportAge(tx: Queryable, hostId: string, order: ReportOrder): Promise<Age | undefined> {
  const row = await selectRow<OrderRow>(tx, columns, [hostId]);
  return row && ageOfVmReport(heardOf(row), order);
}

export async function stateOfHost(tx: Queryable, hostId: string): Promise<HostStateValue | undefined> {
  return (await selectRow<{ state: HostStateValue }>(tx, 'SELECT state FROM host WHERE id = ?', [hostId]))?.state;
}

/** True = it was another one. */
export async function setHostState(tx: EntityManager, hostId: string, state: HostStateValue, reason: string | null): Promise<boolean> {
  const met = await execute(tx, `UPDATE host SET state = ?, reason = ?, state_since = UTC_TIMESTAMP(3), version = version + 1,
    updated_at = UTC_TIMESTAMP(3) WHERE id = ? AND (state <> ? OR NOT (reason <=> ?))`, [state, reason, hostId, state, reason]);
  return met === 1;
}

/** Keeps what ha says of the host's heartbeat. */
export async function noteHeartbeat(tx: EntityManager, hostId: string, heartbeat: 'connected' | 'not-responding'): Promise<void> {
  await execute(tx, 'UPDATE host SET heartbeat = ? WHERE id = ?', [heartbeat, hostId]);
}

/** True = the host counts as connected by its own word only: ha has not heard its heartbeat since it was silent or new. */
export async function isUnconfirmed(tx: EntityManager, hostId: string): Promise<boolean> {
  return (await selectRow(tx, `SELECT 1 AS n FROM host WHERE id = ? AND ${UNCONFIRMED} FOR UPDATE`, [hostId])) !== undefined;
}
const UNCONFIRMED = "state = 'connected' AND NOT (heartbeat <=> 'connected')";

/**
 * Hosts that do not respond or have not joined, those whose heartbeat nobody has confirmed, and those of whose VMs
 * somebody does not know the state.
 */
export async function hostsToAskNow(tx: Queryable): Promise<string[]> {
  // By the index of states, which holds few that are unknown. Asked of each host, all of its VMs were looked at. What lies in the recycle bin runs nowhere.
  return (await selectRows<{ id: string }>(tx, `SELECT id FROM host WHERE state <> 'connected' OR (${UNCONFIRMED})
    UNION SELECT host_id FROM vm WHERE gone_at IS NULL AND state = 'unknown' AND task_id IS NULL AND host_id IS NOT NULL`)).map((row) => row.id);
}

/** Those that answer. */
export async function connectedHostIds(tx: Queryable): Promise<string[]> {
  return (await selectRows<{ id: string }>(tx, "SELECT id FROM host WHERE state = 'connected' ORDER BY id")).map((row) => row.id);
}

export async function allHostIds(tx: Queryable): Promise<string[]> {
  return (await selectRows<{ id: string }>(tx, 'SELECT id FROM host ORDER BY id')).map((row) => row.id);
}
