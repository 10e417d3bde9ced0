// Who runs a task now: one worker, for a short time by the database's clock, under a run epoch that rises with every
// claim. Every later write of that worker locks the row under its epoch; a worker that slept too long writes nothing.
import type { DataSource, EntityManager } from 'typeorm';
import { execute, fromJson, selectRow, selectRows, sql, transaction } from '#database';
import type { Queryable } from '#database';
import { ClaimLost } from './interrupt.ts';
import { isGone } from './process-name.proc.ts';
import type { WaitsForRow } from './rows.ts';
import { takeInHand } from './task-in-hand.store.ts';
import type { TaskInHand } from './task-in-hand.store.ts';

export interface Claim {
  readonly taskId: string;
  readonly epoch: number;
}

/** The row `t` while a claim holds: parameters are the task's id and the claim's epoch. */
const heldBy = 't.id = ? AND t.run_epoch = ? AND t.claimed_by IS NOT NULL AND t.ended_at IS NULL';
const free = sql`t.ended_at IS NULL AND t.wake_at <= UTC_TIMESTAMP(3) AND (t.claim_until IS NULL OR t.claim_until < UTC_TIMESTAMP(3))`;

export interface Claimed {
  readonly claim: Claim;
  /** As it stands under the claim. */
  readonly task: TaskInHand;
  /** What it waited for until now. */
  readonly waitedFor: WaitsForRow | null;
  /** How long ago it could have been taken up. */
  readonly lateMs: number;
}

/**
 * Null when the task has ended, is not due, or is in other hands. `open` makes the first move of the new holder in the same
 * transaction, so that a task costs one commit to claim and begin.
 */
export const claimTask = (db: DataSource, taskId: string, worker: string, leaseMs: number, open: (tx: EntityManager, task: TaskInHand) => Promise<void> = noMove): Promise<Claimed | null> =>
  transaction(db, async (tx) => {
    const task = await takeInHand(tx, sql`t.id = ${taskId} AND ${free}`);
    if (task === undefined) return null;
    const epoch = task.row.run_epoch + 1;
    const waitedFor = fromJson<WaitsForRow | null>(task.row.waits_for);
    const lateMs = task.now.getTime() - (task.row.wake_at ?? task.now).getTime();
    task.set({ run_epoch: epoch, claimed_by: worker, claim_until: later(task.now, leaseMs) });
    await open(tx, task);
    await task.write(tx);
    return { claim: { taskId, epoch }, task, waitedFor, lateMs };
  });

const noMove = (): Promise<void> => Promise.resolve();
/** By the database's clock, which said `now`. */
export const later = (now: Date, ms: number): Date => new Date(now.getTime() + ms);

/** Keeps the claim; answers whether a cancel was asked for, or null when the claim is lost. */
export async function renewClaim(db: DataSource, claim: Claim, leaseMs: number): Promise<{ cancel: boolean } | null> {
  const met = await execute(db, `UPDATE task t SET t.claim_until = UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND WHERE ${heldBy}`, [leaseMs * 1000, claim.taskId, claim.epoch]);
  if (met === 0) return null;
  const row = await selectRow<{ cancel_requested_at: Date | null }>(db, 'SELECT cancel_requested_at FROM task WHERE id = ?', [claim.taskId]);
  return { cancel: row !== undefined && row.cancel_requested_at !== null };
}

/** A transaction that commits only under the claim: the row stays locked to its end, so nobody can take over in between. */
export const fenced = <T>(db: DataSource, claim: Claim, work: (tx: EntityManager) => Promise<T>): Promise<T> =>
  transaction(db, async (tx) => {
    const row = await selectRow(tx, `SELECT t.id FROM task t WHERE ${heldBy} FOR UPDATE`, [claim.taskId, claim.epoch]);
    if (row === undefined) throw new ClaimLost();
    return work(tx);
  });

/** The whole task under its claim, locked; ClaimLost is thrown where another holds it. */
export async function takeClaimed(tx: Queryable, claim: Claim): Promise<TaskInHand> {
  const task = await takeInHand(tx, { sql: heldBy, params: [claim.taskId, claim.epoch] });
  if (task === undefined) throw new ClaimLost();
  return task;
}

/** Ends the claims of workers that are certainly gone. A new count of wakes: the job that the dead one was at still has the old one's name. */
export async function freeClaimsOfGone(db: Queryable): Promise<void> {
  const workers = await selectRows<{ claimed_by: string }>(db, 'SELECT DISTINCT claimed_by FROM task WHERE ended_at IS NULL AND claim_until >= UTC_TIMESTAMP(3)');
  for (const { claimed_by: worker } of workers.filter((found) => isGone(found.claimed_by))) {
    await execute(db, 'UPDATE task SET claim_until = UTC_TIMESTAMP(3) - INTERVAL 1 SECOND, wake_count = wake_count + 1 WHERE ended_at IS NULL AND claimed_by = ?', [worker]);
  }
}

export interface DueTask {
  readonly id: string;
  /** How long it could have been running already, ms. */
  readonly lateMs: number;
  readonly wakeCount: number;
}

/** Open tasks that should be running and are not. */
export async function dueTasks(db: Queryable, limit: number): Promise<DueTask[]> {
  const rows = await selectRows<{ id: string; late: number | string; wake_count: number }>(db,
    `SELECT id, wake_count, TIMESTAMPDIFF(MICROSECOND, GREATEST(wake_at, COALESCE(claim_until, wake_at)), UTC_TIMESTAMP(3)) AS late FROM task t WHERE ${free.sql} ORDER BY wake_at LIMIT ?`, [limit]);
  return rows.map((row) => ({ id: row.id, lateMs: Number(row.late) / 1000, wakeCount: row.wake_count }));
}

/** Makes an open task due now; a task that is just running looks once more when it parks. Null when it has ended. */
export async function makeDue(db: Queryable, taskId: string): Promise<number | null> {
  const met = await execute(db, 'UPDATE task SET wake_count = wake_count + 1, wake_at = UTC_TIMESTAMP(3) WHERE id = ? AND ended_at IS NULL', [taskId]);
  if (met === 0) return null;
  const row = await selectRow<{ wake_count: number }>(db, 'SELECT wake_count FROM task WHERE id = ?', [taskId]);
  return row?.wake_count ?? null;
}
