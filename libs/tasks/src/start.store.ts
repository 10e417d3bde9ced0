// Begins a task: its rows, its locks and the event about it are part of the transaction that decided on it.
import type { EntityManager } from 'typeorm';
import type { BusContext } from '#bus';
import type { TaskRef, TaskService } from '#contracts';
import { insertRow, insertRows, selectRow, dbNow, toJson } from '#database';
import { newUuid } from '#kernel';
import { childTaskId, parentOfKey } from './keys.ts';
import type { Parentage } from './keys.ts';
import type { ObjectRef, TaskKind } from './kind.ts';
import { takeLocks } from './lock.store.ts';
import { emitTaskChanged } from './task.store.ts';

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
  await insertRow(tx, 'task', {
    id, kind: kind.kind, object_noun: kind.object, object_id: start.objectId, object_name: start.objectName ?? null,
    state: 'queued', actor: actor === null ? null : toJson({ userId: actor.userId, handle: actor.handle }),
    owner_id: start.ownerId ?? actor?.userId ?? null, trace_id: start.ctx?.traceId ?? null,
    input: toJson(start.input), locks: toJson(locks), parent_task_id: parent?.parentTaskId ?? null, root_task_id: rootTaskId,
    wake_at: now, created_at: now,
  });
  await insertRows(tx, 'task_step', kind.steps.map((step, seq) => ({ task_id: id, seq, name: step.name, state: 'pending' })));
  await emitTaskChanged(tx, service, id);
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
