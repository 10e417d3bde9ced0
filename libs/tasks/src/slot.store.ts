// Slots in the schema: one row for each task that holds or waits for one, and a row per thing whose lock keeps takers apart.
// They are taken and given back in the transactions that begin and end steps, so no crash leaves one behind.
import type { EntityManager } from 'typeorm';
import { execute, executeLater, fromJson, selectRow, selectRows, sql } from '#database';
import type { Parked } from './interrupt.ts';
import { limitNameOf, resourceOf, turnOf } from './slot.ts';
import type { Claimant, Slot, SlotLimits } from './slot.ts';
import type { TaskRow } from './rows.ts';

interface SlotRow { task_id: string; user_id: string; granted_at: Date | null }

/** Tasks that got a slot they were waiting for. */
export type Granted = readonly string[];

export interface Taken {
  /** Undefined: all are held. */
  readonly blocker: Parked['waitsFor'] | undefined;
  readonly granted: Granted;
}

/** Locks a thing's slots until the transaction ends. */
const lock = (tx: EntityManager, resource: string, most: number): Promise<void> =>
  executeLater(tx, 'INSERT INTO task_slot_gate (resource, most) VALUES (?, ?) ON DUPLICATE KEY UPDATE most = ?', [resource, most, most]);

/** In the order in which they have asked. */
const claimantsOf = async (tx: EntityManager, resource: string): Promise<Claimant[]> =>
  (await selectRows<SlotRow>(tx, 'SELECT task_id, user_id, granted_at FROM task_slot WHERE resource = ? ORDER BY asked_at, task_id', [resource]))
    .map((row) => ({ taskId: row.task_id, userId: row.user_id, isGranted: row.granted_at !== null }));

/** Gives free slots to those whose turn it is. */
async function grant(tx: EntityManager, resource: string, most: number): Promise<{ readonly granted: Granted; readonly waiting: readonly string[]; readonly holders: readonly string[] }> {
  const claimants = await claimantsOf(tx, resource);
  const { granted, waiting } = turnOf(claimants, most);
  if (granted.length > 0) await execute(tx, sql`UPDATE task_slot SET granted_at = UTC_TIMESTAMP(3) WHERE resource = ${resource} AND task_id IN (${[...granted]})`);
  return { granted, waiting, holders: [...claimants.filter(({ isGranted }) => isGranted).map(({ taskId }) => taskId), ...granted] };
}

/** Whose turn it is to be kept apart: the user who asked, whose object it is, or the task that all of it belongs to. */
const userOf = (row: TaskRow): string => fromJson<{ userId: string } | null>(row.actor)?.userId ?? row.owner_id ?? row.root_task_id;

/**
 * Takes the slots one after another in one order for all, so that no two tasks wait for each other; stops at the first that
 * is not free, and keeps its place in the queue for it.
 */
export async function takeSlots(tx: EntityManager, row: TaskRow, seq: number, slots: readonly Slot[], limits: SlotLimits): Promise<Taken> {
  const granted: string[] = [];
  for (const slot of slots.toSorted((a, b) => (resourceOf(a) < resourceOf(b) ? -1 : 1))) {
    const most = limits[limitNameOf(slot)];
    if (most === undefined) continue;
    const resource = resourceOf(slot);
    await lock(tx, resource, most);
    await executeLater(tx, 'INSERT IGNORE INTO task_slot (resource, task_id, seq, user_id, asked_at) VALUES (?, ?, ?, ?, UTC_TIMESTAMP(3))', [resource, row.id, seq, userOf(row)]);
    const turn = await grant(tx, resource, most);
    granted.push(...turn.granted.filter((taskId) => taskId !== row.id));
    if (!turn.holders.includes(row.id)) return { blocker: blockerOf(slot, most, turn.holders, turn.waiting.indexOf(row.id) + 1), granted };
  }
  return { blocker: undefined, granted };
}

const blockerOf = (slot: Slot, most: number, holders: readonly string[], position: number): Parked['waitsFor'] => ({
  what: `one of the ${most} ${slot.of} at once of the ${slot.noun} ${slot.name ?? slot.id}`, holder: holders[0] ?? null, position,
});

/** Gives back all that the task holds or waits for, and answers who got it. */
export async function releaseSlots(tx: EntityManager, taskId: string): Promise<Granted> {
  const held = await selectRows<{ resource: string }>(tx, 'SELECT resource FROM task_slot WHERE task_id = ? ORDER BY resource', [taskId]);
  const granted: string[] = [];
  for (const { resource } of held) {
    const gate = await selectRow<{ most: number }>(tx, 'SELECT most FROM task_slot_gate WHERE resource = ? FOR UPDATE', [resource]);
    await execute(tx, 'DELETE FROM task_slot WHERE resource = ? AND task_id = ?', [resource, taskId]);
    if (gate !== undefined) granted.push(...(await grant(tx, resource, gate.most)).granted);
  }
  return granted;
}
