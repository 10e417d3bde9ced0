// What people may do to a task that runs by itself: cancel it, and set one that needs attention going again.
import type { EntityManager } from 'typeorm';
import type { TaskService } from '#contracts';
import { endStates, NotFound, TaskNotCancellable, WrongState } from '#contracts';
import { execute, fromJson } from '#database';
import { FaultError } from '#kernel';
import { pointOfNoReturn } from './kind.ts';
import type { ObjectRef, TaskKind } from './kind.ts';
import { takeLocks } from './lock.store.ts';
import type { TaskRow } from './rows.ts';
import { emitTaskChanged, readStepRows, readTaskRow } from './task.store.ts';

type Kinds = ReadonlyMap<string, TaskKind>;

/** Asks the task to end. Twice is once. TASK_NOT_CANCELLABLE past its point of no return and after its end. */
export async function cancelTask(tx: EntityManager, service: TaskService, kinds: Kinds, taskId: string): Promise<void> {
  const row = await lockTask(tx, taskId);
  if (row.cancel_requested_at !== null || row.state === 'cancelled') return;
  const kind = kinds.get(row.kind);
  const noReturn = kind === undefined ? 0 : pointOfNoReturn(kind);
  const begun = (await readStepRows(tx, taskId)).filter((step) => step.state !== 'pending').length;
  // A task that is being undone ends by itself, as failed.
  if (endStates.includes(row.state) || row.direction === 'undo' || begun > noReturn) {
    throw new FaultError(TaskNotCancellable.fault(`The task is ${row.state} and cannot be cancelled.`, { state: row.state }));
  }
  await execute(tx, `UPDATE task SET cancel_requested_at = UTC_TIMESTAMP(3), state = 'cancelling', wake_at = UTC_TIMESTAMP(3), wake_count = wake_count + 1, version = version + 1 WHERE id = ?`, [taskId]);
  await emitTaskChanged(tx, service, taskId);
}

/** Goes on where it was stuck: with the undo, or past the point of no return with the work. BUSY when its object has been taken meanwhile. */
export async function retryTask(tx: EntityManager, service: TaskService, taskId: string): Promise<void> {
  const row = await lockTask(tx, taskId);
  if (row.state !== 'needs-attention') {
    throw new FaultError(WrongState.fault(`The task is ${row.state}; only one that needs attention can be retried.`, { state: row.state, allowed: ['needs-attention'] }));
  }
  await takeLocks(tx, { taskId, rootTaskId: row.root_task_id }, fromJson<ObjectRef[]>(row.locks));
  const again = row.direction === 'undo' ? 'undoing' : 'running';
  await execute(tx, "UPDATE task_step SET errors = 0, parks = 0, retry_since = NULL, ended_at = NULL, state = ? WHERE task_id = ? AND state IN ('failed', 'undo-failed', 'running', 'undoing')", [again, taskId]);
  const error = row.direction === 'undo' ? 'error' : 'NULL';
  await execute(tx, `UPDATE task SET state = 'queued', error = ${error}, ended_at = NULL, finish_errors = 0, wake_at = UTC_TIMESTAMP(3), wake_count = wake_count + 1, version = version + 1 WHERE id = ?`, [taskId]);
  await emitTaskChanged(tx, service, taskId);
}

async function lockTask(tx: EntityManager, taskId: string): Promise<TaskRow> {
  const row = await readTaskRow(tx, taskId, 'FOR UPDATE');
  if (row === undefined) throw new FaultError(NotFound.fault('There is no task with this id.', { noun: 'task', id: taskId }));
  return row;
}
