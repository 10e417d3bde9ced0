// Begins a task: its rows, its locks and the event about it are part of the transaction that decided on it.
import type { EntityManager } from 'typeorm';
import type { BusContext } from '#bus';
import type { TaskRef, TaskService } from '#contracts';
import { executeLater, insertOf, selectRow, dbNow, toJson } from '#database';
import { newUuid } from '#kernel';
import { traceparentOf } from '#telemetry';
import { childTaskId, parentOfKey } from './keys.ts';
import type { Parentage } from './keys.ts';
import type { ObjectRef, TaskKind } from './kind.ts';
import { takeLocks } from './lock.store.ts';
import type { StepRow, TaskRow } from './rows.ts';
import { columnsOf, TaskInHand } from './task-in-hand.store.ts';
import { emitTask } from './task.store.ts';

export interface StartTask<I> {
  readonly objectId: string;
  readonly objectName?: string | null;
  readonly input: I;
  /** The request that asks for it. One that another service's task makes for itself makes this task its child. */
  readonly ctx?: Pick<BusContext, 'actor' | 'system' | 'idempotencyKey' | 'traceId' | 'dryRun'> & Partial<Pick<BusContext, 'deadline' | 'signal'>>;
  /** Who may see and cancel it; default: the user of `ctx`. */
  readonly ownerId?: string | null;
  /** Objects that no other root task may work on until this one ends. BUSY is thrown when one does. */
  readonly lock?: readonly ObjectRef[];
}

export async function startTask<I>(tx: EntityManager, service: TaskService, kind: TaskKind<I>, start: StartTask<I>): Promise<TaskRef> {
  const { id, parent } = await identityOf(tx, service, start.ctx);
  const rootTaskId = parent?.rootTaskId ?? id;
  const locks = start.lock ?? [];
  await takeLocks(tx, { taskId: id, rootTaskId }, locks);
  const now = await dbNow(tx);
  const actor = start.ctx?.actor ?? null;
  const row: TaskRow = {
    id, kind: kind.kind, object_noun: kind.object, object_id: start.objectId, object_name: start.objectName ?? null,
    state: 'queued', direction: 'forward', actor: actor === null ? null : toJson({ userId: actor.userId, handle: actor.handle }),
    owner_id: start.ownerId ?? actor?.userId ?? null, trace_id: start.ctx?.traceId ?? null, traceparent: start.ctx === undefined ? null : traceparentOf(start.ctx),
    input: toJson(start.input), output: null, error: null, locks: toJson(locks),
    parent_task_id: parent?.parentTaskId ?? null, root_task_id: rootTaskId, progress: null, waits_for: null,
    cancel_requested_at: null, run_epoch: 0, claimed_by: null, claim_until: null,
    wake_at: now, wake_count: 0, finish_errors: 0, version: 1, created_at: now, started_at: null, ended_at: null,
  };
  const steps: StepRow[] = kind.steps.map((step, seq) => ({
    task_id: id, seq, name: step.name, state: 'pending', attempt: 0, errors: 0, parks: 0,
    retry_since: null, calls: null, output: null, error: null, started_at: null, ended_at: null,
  }));
  await executeLater(tx, insertOf('task', [columnsOf(row)]));
  if (steps.length > 0) await executeLater(tx, insertOf('task_step', steps.map(columnsOf)));
  await emitTask(tx, service, new TaskInHand(row, steps, now));
  return { taskId: id as TaskRef['taskId'], objectId: start.objectId };
}

async function identityOf(tx: EntityManager, service: TaskService, ctx: StartTask<unknown>['ctx']): Promise<{ id: string; parent: Parentage | null }> {
  const key = ctx?.system === true ? ctx.idempotencyKey : null;
  const parent = key === null ? null : parentOfKey(key);
  if (key === null || parent === null) return { id: newUuid(), parent: null };
  const id = childTaskId(service, key);
  // One command may start several tasks; the parent follows the first.
  const taken = await selectRow(tx, 'SELECT id FROM task WHERE id = ?', [id]);
  return { id: taken === undefined ? id : newUuid(), parent };
}
