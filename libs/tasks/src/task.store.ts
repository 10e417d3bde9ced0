// Reading tasks, and the event that tells everybody about a change of one.
import type { EntityManager } from 'typeorm';
import type { Task, TaskService, UserId } from '#contracts';
import { taskChanged } from '#contracts';
import { fromJson, pageQuery, selectRow, selectRows, sql } from '#database';
import type { Queryable } from '#database';
import type { Result } from '#kernel';
import { ok } from '#kernel';
import { emit } from './outbox.store.ts';
import { freeWorker, taskView } from './rows.ts';
import type { StepRow, TaskRow } from './rows.ts';
import { readTasks } from './task-in-hand.store.ts';
import type { TaskInHand } from './task-in-hand.store.ts';
import { placeInQueue } from './turn.store.ts';
import { LATE_MS } from './turns.ts';

export const readTaskRow = (tx: Queryable, taskId: string): Promise<TaskRow | undefined> => selectRow<TaskRow>(tx, 'SELECT * FROM task WHERE id = ?', [taskId]);

/** With its place in the queue, where it waits for a worker. */
export async function readTask(tx: Queryable, service: string, taskId: string): Promise<Task | undefined> {
  const [task] = await readTasks(tx, sql`t.id = ${taskId}`);
  if (task === undefined) return undefined;
  const view = taskView(service, task.row, task.steps);
  const place = waitsForWorker(task) ? await placeInQueue(tx, taskId) : undefined;
  return place === undefined ? view : { ...view, waitsFor: { ...freeWorker(service, task.row), ...place } };
}

/** One that has been woken a moment ago is about to be taken up, and says what it has waited for. */
function waitsForWorker({ row, now }: TaskInHand): boolean {
  const dueAt = row.wake_at?.getTime() ?? Infinity;
  const isFree = row.claim_until === null || row.claim_until < now;
  return row.ended_at === null && isFree && (row.state === 'queued' ? dueAt <= now.getTime() : now.getTime() - dueAt >= LATE_MS);
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

/** Writes what has changed of a task as its next version, and tells everybody. */
export async function tellTask(tx: EntityManager, service: TaskService, task: TaskInHand): Promise<void> {
  task.set({ version: task.row.version + 1 });
  await task.write(tx);
  await emitTask(tx, service, task);
}

/** Says into the transaction what has become of the task: `<service>.task.changed`. */
export function emitTask(tx: EntityManager, service: TaskService, { row, steps, now }: TaskInHand): Promise<void> {
  return emit(tx, taskChanged(service), {
    objectId: row.id, data: { task: taskView(service, row, steps), ownerId: row.owner_id as UserId | null },
    actor: fromJson(row.actor), traceId: row.trace_id, taskId: row.id, at: now,
  });
}
