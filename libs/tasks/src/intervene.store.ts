// What people may do to a task that runs by itself: cancel it, and set one that needs attention going again.
import type { EntityManager } from 'typeorm';
import type { TaskService } from '#contracts';
import { endStates, NotFound, TaskNotCancellable, WrongState } from '#contracts';
import { fromJson, sql } from '#database';
import { FaultError } from '#kernel';
import { hasSteps, pointOfNoReturn } from './kind.ts';
import type { ObjectRef, TaskKind } from './kind.ts';
import { takeLocks } from './lock.store.ts';
import { outcomeOf } from './outcome.ts';
import { endInHand } from './record.store.ts';
import type { Book } from './record.store.ts';
import type { StepStateName } from './rows.ts';
import { takeInHand } from './task-in-hand.store.ts';
import type { TaskInHand } from './task-in-hand.store.ts';
import { tellTask } from './task.store.ts';

type Kinds = ReadonlyMap<string, TaskKind>;

/**
 * Asks the task to end. One that no worker has begun ends with that; the others turn back. Twice is once.
 * TASK_NOT_CANCELLABLE past its point of no return and after its end.
 */
export async function cancelTask(tx: EntityManager, book: Book, kinds: Kinds, taskId: string): Promise<void> {
  const task = await lockTask(tx, taskId);
  const { row, steps } = task;
  if (row.cancel_requested_at !== null || row.state === 'cancelled') return;
  const kind = kinds.get(row.kind);
  const noReturn = kind !== undefined && hasSteps(kind, steps) ? pointOfNoReturn(kind) : 0;
  const begun = steps.filter((step) => step.state !== 'pending').length;
  // A task that is being undone ends by itself, as failed.
  if (endStates.includes(row.state) || row.direction === 'undo' || begun > noReturn) {
    throw new FaultError(TaskNotCancellable.fault(`The task is ${row.state} and cannot be cancelled.`, { state: row.state }));
  }
  task.set({ cancel_requested_at: task.now });
  if (kind !== undefined && begun === 0 && row.claimed_by === null) {
    await endUnbegun(tx, book, task, kind);
    return;
  }
  task.set({ state: 'cancelling' });
  await sayDue(tx, book.service, task);
}

/** There is nothing to undo, so nothing to wait for either, such as a worker that has time for it. */
async function endUnbegun(tx: EntityManager, book: Book, task: TaskInHand, kind: TaskKind): Promise<void> {
  for (const { seq } of task.steps) task.setStep(seq, { state: 'skipped' });
  const ending = { state: 'cancelled' as const, hasSlots: false };
  await endInHand(book, tx, task, ending, () => kind.onFinished?.(tx, outcomeOf(task, ending)) ?? Promise.resolve());
  await tellTask(tx, book.service, task);
}

const stuckStates: readonly StepStateName[] = ['failed', 'undo-failed', 'running', 'undoing'];

/** Goes on where it was stuck: with the undo, or past the point of no return with the work. BUSY when its object has been taken meanwhile. */
export async function retryTask(tx: EntityManager, service: TaskService, taskId: string): Promise<void> {
  const task = await lockTask(tx, taskId);
  const { row } = task;
  if (row.state !== 'needs-attention') {
    throw new FaultError(WrongState.fault(`The task is ${row.state}; only one that needs attention can be retried.`, { state: row.state, allowed: ['needs-attention'] }));
  }
  await takeLocks(tx, { taskId, rootTaskId: row.root_task_id }, fromJson<ObjectRef[]>(row.locks));
  const again = row.direction === 'undo' ? 'undoing' : 'running';
  for (const { seq } of task.steps.filter(({ state }) => stuckStates.includes(state))) task.setStep(seq, { errors: 0, parks: 0, retry_since: null, ended_at: null, state: again });
  task.set({ state: 'queued', ended_at: null, finish_errors: 0, ...(row.direction === 'undo' ? {} : { error: null }) });
  await sayDue(tx, service, task);
}

/** Due at once, and told to everybody. */
async function sayDue(tx: EntityManager, service: TaskService, task: TaskInHand): Promise<void> {
  task.set({ wake_at: task.now, wake_count: task.row.wake_count + 1 });
  await tellTask(tx, service, task);
}

async function lockTask(tx: EntityManager, taskId: string): Promise<TaskInHand> {
  const task = await takeInHand(tx, sql`t.id = ${taskId}`);
  if (task === undefined) throw new FaultError(NotFound.fault('There is no task with this id.', { noun: 'task', id: taskId }));
  return task;
}
