// Reading tasks, and the event that tells everybody about a change of one.
import type { EntityManager } from 'typeorm';
import type { Task, TaskService, UserId } from '#contracts';
import { taskChanged } from '#contracts';
import { fromJson, pageQuery, selectRow, selectRows, sql } from '#database';
import type { Queryable } from '#database';
import type { Result } from '#kernel';
import { ok } from '#kernel';
import { emit } from './outbox.store.ts';
import { taskView } from './rows.ts';
import type { StepRow, TaskRow } from './rows.ts';

export const readTaskRow = (tx: Queryable, taskId: string, lock: '' | 'FOR UPDATE' = ''): Promise<TaskRow | undefined> =>
  selectRow<TaskRow>(tx, `SELECT * FROM task WHERE id = ? ${lock}`, [taskId]);

export const readStepRows = (tx: Queryable, taskId: string): Promise<StepRow[]> =>
  selectRows<StepRow>(tx, 'SELECT * FROM task_step WHERE task_id = ? ORDER BY seq', [taskId]);

export async function readTask(tx: Queryable, service: string, taskId: string): Promise<Task | undefined> {
  const row = await readTaskRow(tx, taskId);
  return row === undefined ? undefined : taskView(service, row, await readStepRows(tx, taskId));
}

export async function listTasks(
  tx: Queryable, service: string, input: { limit: number; cursor?: string | undefined; open?: boolean | undefined },
): Promise<Result<{ items: Task[]; next: string | null }>> {
  const page = await pageQuery<TaskRow>(tx, {
    select: 't.*', from: 'task t', id: 't.id', orderBy: { createdAt: 't.created_at' }, preset: '-createdAt', input,
    where: [input.open === undefined ? null : input.open ? sql`t.ended_at IS NULL` : sql`t.ended_at IS NOT NULL`],
  });
  if (!page.ok) return page;
  const ids = page.value.rows.map((row) => row.id);
  const { sql: text, params } = sql`SELECT * FROM task_step WHERE task_id IN (${ids}) ORDER BY task_id, seq`;
  const steps = Map.groupBy(await selectRows<StepRow>(tx, text, params), (step) => step.task_id);
  return ok({ items: page.value.rows.map((row) => taskView(service, row, steps.get(row.id) ?? [])), next: page.value.next });
}

/** Writes `<service>.task.changed` for the task as it stands in this transaction. */
export async function emitTaskChanged(tx: EntityManager, service: TaskService, taskId: string): Promise<void> {
  const row = await selectRow<TaskRow & { now: Date }>(tx, 'SELECT t.*, UTC_TIMESTAMP(3) AS now FROM task t WHERE t.id = ?', [taskId]);
  if (row === undefined) return;
  const task = taskView(service, row, await readStepRows(tx, taskId));
  await emit(tx, taskChanged(service), {
    objectId: taskId, data: { task, ownerId: row.owner_id as UserId | null },
    actor: fromJson(row.actor), traceId: row.trace_id, taskId, at: row.now,
  });
}
