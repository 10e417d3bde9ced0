// What a worker writes about a task it holds: each function is one fenced transaction that moves the task one place on
// and tells everybody. If the process dies before, the step is repeated; if it dies after, the next worker goes on behind.
import type { EntityManager } from 'typeorm';
import type { ErrorBody, TaskService, TaskState } from '#contracts';
import { dbNow, execute, fromJson, selectRow, sql, toJson, transaction, updateRows } from '#database';
import type { ColumnValue } from '#database';
import type { DataSource } from 'typeorm';
import type { Fault } from '#kernel';
import { fenced, heldBy } from './claim.store.ts';
import type { Claim } from './claim.store.ts';
import { isAtWork, wireFault } from './fault.ts';
import { ClaimLost } from './interrupt.ts';
import type { Parked } from './interrupt.ts';
import type { ObjectRef } from './kind.ts';
import { releaseLocks } from './lock.store.ts';
import { emitTaskChanged } from './task.store.ts';
import type { ChildRecord, Direction, StepStateName, TaskRow, WaitsForRow } from './rows.ts';

export interface Book {
  readonly db: DataSource;
  readonly service: TaskService;
}

/** Runs `work` fenced by the count of the version, then emits the change. */
const change = <T>(book: Book, claim: Claim, work: (tx: EntityManager) => Promise<T>): Promise<T> =>
  transaction(book.db, async (tx) => {
    const met = await execute(tx, `UPDATE task SET version = version + 1 WHERE ${heldBy}`, [claim.taskId, claim.epoch]);
    if (met === 0) throw new ClaimLost();
    const value = await work(tx);
    await emitTaskChanged(tx, book.service, claim.taskId);
    return value;
  });

const setTask = (tx: EntityManager, claim: Claim, set: Readonly<Record<string, ColumnValue>>): Promise<number> => updateRows(tx, 'task', set, sql`id = ${claim.taskId}`);
const setStep = (tx: EntityManager, claim: Claim, seq: number, set: Readonly<Record<string, ColumnValue>>): Promise<number> =>
  updateRows(tx, 'task_step', set, sql`task_id = ${claim.taskId} AND seq = ${seq}`);

export interface Advance {
  /** The step before, when it has just been done. */
  readonly done: StepDone | undefined;
  /** The step that begins now. */
  readonly begin: number;
}

export interface StepDone {
  readonly seq: number;
  readonly output: unknown;
}

/**
 * Records an answer and the beginning of the next step. False: a cancel was asked for before, and the step has not begun.
 * Cancel and beginning lock the same row, so a step of no return never begins behind a cancel that was accepted.
 */
export const recordForward = (book: Book, claim: Claim, advance: Advance): Promise<boolean> =>
  change(book, claim, async (tx) => {
    await finishStep(tx, claim, advance.done);
    const goesOn = await execute(tx, `UPDATE task SET state = 'running', progress = NULL, waits_for = NULL, started_at = COALESCE(started_at, UTC_TIMESTAMP(3))
      WHERE id = ? AND cancel_requested_at IS NULL`, [claim.taskId]);
    if (goesOn === 0) return false;
    await beginStep(tx, claim, advance.begin, 'running');
    return true;
  });

/** Turns the task round: the steps that never began are skipped, the others will be undone. */
export const recordTurn = (book: Book, claim: Claim, why: { readonly fault: Fault | null; readonly seq: number | null }): Promise<void> =>
  change(book, claim, async (tx) => {
    const { fault, seq } = why;
    if (fault !== null && seq !== null) await failStep(tx, claim, seq, 'failed', fault);
    await execute(tx, "UPDATE task_step SET state = 'skipped' WHERE task_id = ? AND state = 'pending'", [claim.taskId]);
    await execute(tx, "UPDATE task_step SET attempt = 0, errors = 0, parks = 0, retry_since = NULL WHERE task_id = ? AND state <> 'skipped'", [claim.taskId]);
    const state: TaskState = fault === null ? 'cancelling' : 'undoing';
    await setTask(tx, claim, { direction: 'undo' satisfies Direction, state, progress: null, waits_for: null, error: fault === null ? null : toJson(await wire(tx, claim, fault)) });
  });

export const recordUndo = (book: Book, claim: Claim, advance: { readonly undone?: number | undefined; readonly begin?: number | undefined }): Promise<void> =>
  change(book, claim, async (tx) => {
    if (advance.undone !== undefined) {
      await execute(tx, "UPDATE task_step SET state = 'undone', ended_at = UTC_TIMESTAMP(3) WHERE task_id = ? AND seq = ?", [claim.taskId, advance.undone]);
    }
    if (advance.begin !== undefined) await beginStep(tx, claim, advance.begin, 'undoing');
    await execute(tx, "UPDATE task SET state = IF(error IS NULL, 'cancelling', 'undoing'), waits_for = NULL WHERE id = ?", [claim.taskId]);
  });

async function finishStep(tx: EntityManager, claim: Claim, done: StepDone | undefined): Promise<void> {
  if (done === undefined) return;
  await execute(tx, "UPDATE task_step SET state = 'done', output = ?, error = NULL, ended_at = UTC_TIMESTAMP(3) WHERE task_id = ? AND seq = ?", [toJson(done.output), claim.taskId, done.seq]);
}

async function cancelAsked(tx: EntityManager, claim: Claim): Promise<boolean> {
  const row = await selectRow<{ cancel_requested_at: Date | null }>(tx, 'SELECT cancel_requested_at FROM task WHERE id = ?', [claim.taskId]);
  return row !== undefined && row.cancel_requested_at !== null;
}

const beginStep = (tx: EntityManager, claim: Claim, seq: number, state: StepStateName): Promise<number> =>
  execute(tx, 'UPDATE task_step SET state = ?, attempt = attempt + 1, started_at = COALESCE(started_at, UTC_TIMESTAMP(3)) WHERE task_id = ? AND seq = ?', [state, claim.taskId, seq]);

/** Gives up claim and worker until `parked.afterMs` have passed; a wake that came meanwhile makes it due at once. */
export const recordPark = (book: Book, claim: Claim, seq: number, parked: Parked, seenWakes: number): Promise<number> =>
  change(book, claim, async (tx) => {
    const { because, waitsFor } = parked;
    const patience = because === undefined || isAtWork(because) ? 'NULL' : 'COALESCE(retry_since, UTC_TIMESTAMP(3))';
    await execute(tx, `UPDATE task_step SET parks = parks + 1, retry_since = ${patience} WHERE task_id = ? AND seq = ?`, [claim.taskId, seq]);
    if (because !== undefined) await setStep(tx, claim, seq, { error: toJson(await wire(tx, claim, because)) });
    const old = await waitsForOf(tx, claim);
    const same = old !== null && old.what === waitsFor.what && old.holder === waitsFor.holder;
    const since = same ? old.since : (await dbNow(tx)).toISOString();
    await setTask(tx, claim, { waits_for: toJson({ ...waitsFor, since }) });
    await execute(tx, "UPDATE task SET state = IF(direction = 'forward', 'waiting', state) WHERE id = ?", [claim.taskId]);
    return letGo(tx, claim, parked.afterMs, seenWakes);
  });

/** A bug in a step's code: counted, tried again later. */
export const recordError = (book: Book, claim: Claim, seq: number, fault: Fault, afterMs: number, seenWakes: number): Promise<number> =>
  change(book, claim, async (tx) => {
    await setStep(tx, claim, seq, { error: toJson(await wire(tx, claim, fault)) });
    await execute(tx, 'UPDATE task_step SET errors = errors + 1 WHERE task_id = ? AND seq = ?', [claim.taskId, seq]);
    return letGo(tx, claim, afterMs, seenWakes);
  });

/** Lets go of the task without a word about its step, which will be repeated: at once, or after a while. */
export const recordHandover = (book: Book, claim: Claim, afterMs = 0, seenWakes = -1): Promise<number> => fenced(book.db, claim, (tx) => letGo(tx, claim, afterMs, seenWakes));

/** Answers after how long the task is due: at once when somebody woke it since `seenWakes` was read. */
async function letGo(tx: EntityManager, claim: Claim, afterMs: number, seenWakes: number): Promise<number> {
  const row = await selectRow<{ wake_count: number }>(tx, 'SELECT wake_count FROM task WHERE id = ?', [claim.taskId]);
  const dueMs = row?.wake_count === seenWakes ? Math.round(afterMs) : 0;
  await execute(tx, `UPDATE task SET claimed_by = NULL, claim_until = NULL, wake_count = wake_count + 1,
    wake_at = UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND WHERE id = ?`, [dueMs * 1000, claim.taskId]);
  return dueMs;
}

/** Notes a child before it is asked for: after a crash its parent knows whom to look for. */
export const recordChild = (book: Book, claim: Claim, seq: number, key: string, child: Omit<ChildRecord, 'arrivesUntil'>, onItsWayMs: number): Promise<void> =>
  fenced(book.db, claim, async (tx) => {
    const arrivesUntil = await inFuture(tx, onItsWayMs);
    const row = await selectRow<{ calls: unknown }>(tx, 'SELECT calls FROM task_step WHERE task_id = ? AND seq = ?', [claim.taskId, seq]);
    const calls = fromJson<Record<string, ChildRecord> | null>(row?.calls) ?? {};
    const seen = calls[key]?.seen;
    await setStep(tx, claim, seq, { calls: toJson({ ...calls, [key]: { ...child, arrivesUntil, ...(seen === undefined || calls[key]?.taskId !== child.taskId ? {} : { seen }) } }) });
  });

export interface Ending {
  readonly state: Extract<TaskState, 'succeeded' | 'failed' | 'cancelled' | 'needs-attention'>;
  readonly output?: unknown;
  /** The last step, when it has just been done. */
  readonly done?: StepDone | undefined;
  /** Why it needs attention, and at which step. */
  readonly stuck?: { readonly seq: number; readonly fault: Fault } | undefined;
}

/**
 * Ends the task: locks, outcome, the kind's own work and the event, all or nothing. False: a cancel was accepted before
 * the success could be recorded, and the task has not ended.
 */
export const recordEnd = (book: Book, claim: Claim, task: TaskRow, ending: Ending, onFinished: (tx: EntityManager) => Promise<void>): Promise<boolean> =>
  change(book, claim, async (tx) => {
    const { stuck } = ending;
    await finishStep(tx, claim, ending.done);
    if (ending.state === 'succeeded' && (await cancelAsked(tx, claim))) return false;
    if (stuck !== undefined) {
      await failStep(tx, claim, stuck.seq, task.direction === 'undo' ? 'undo-failed' : 'failed', stuck.fault);
      await setTask(tx, claim, { error: toJson(await wire(tx, claim, stuck.fault)) });
    }
    await onFinished(tx);
    await releaseLocks(tx, { taskId: task.id, rootTaskId: task.root_task_id }, fromJson<ObjectRef[]>(task.locks));
    await execute(tx, `UPDATE task SET state = ?, output = ?, progress = NULL, waits_for = NULL, claimed_by = NULL, claim_until = NULL, wake_at = NULL,
      ended_at = UTC_TIMESTAMP(3) WHERE id = ?`, [ending.state, toJson(ending.output), claim.taskId]);
    return true;
  });

export const recordFinishError = (book: Book, claim: Claim, afterMs: number, seenWakes: number): Promise<number> =>
  fenced(book.db, claim, async (tx) => {
    await execute(tx, 'UPDATE task SET finish_errors = finish_errors + 1 WHERE id = ?', [claim.taskId]);
    return letGo(tx, claim, afterMs, seenWakes);
  });

async function failStep(tx: EntityManager, claim: Claim, seq: number, state: StepStateName, fault: Fault): Promise<void> {
  await setStep(tx, claim, seq, { state, error: toJson(await wire(tx, claim, fault)) });
  await execute(tx, 'UPDATE task_step SET ended_at = UTC_TIMESTAMP(3) WHERE task_id = ? AND seq = ?', [claim.taskId, seq]);
}

async function inFuture(tx: EntityManager, ms: number): Promise<string> {
  const now = await dbNow(tx);
  return new Date(now.getTime() + ms).toISOString();
}

async function waitsForOf(tx: EntityManager, claim: Claim): Promise<WaitsForRow | null> {
  const row = await selectRow<{ waits_for: unknown }>(tx, 'SELECT waits_for FROM task WHERE id = ?', [claim.taskId]);
  return fromJson(row?.waits_for);
}

async function wire(tx: EntityManager, claim: Claim, fault: Fault): Promise<ErrorBody> {
  const row = await selectRow<{ trace_id: string | null }>(tx, 'SELECT trace_id FROM task WHERE id = ?', [claim.taskId]);
  return wireFault(fault, row?.trace_id ?? null);
}
