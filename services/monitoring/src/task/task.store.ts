// Rows of the tasks view: what the owners of tasks last told. The highest version of a task wins, whatever comes when.
import type { EntityManager } from 'typeorm';
import { endStates, type InputOf, type Task, type listTasks } from '#contracts';
import { accessFilter, anyOf, execute, fromJson, pageQuery, selectRow, sql, toJson, type Queryable, type Sql, type Who } from '#database';
import { ok, type Result } from '#kernel';

export interface TaskView { readonly task: Task; readonly ownerId: string | null }
interface Row { id: string; owner_id: string | null; task: unknown }
const viewOf = (row: Row): TaskView => ({ task: fromJson<Task>(row.task), ownerId: row.owner_id });

/** True = it was news. */
export async function keepTask(tx: EntityManager, task: Task, ownerId: string | null): Promise<boolean> {
  const known = await selectRow<{ version: number }>(tx, 'SELECT version FROM task_view WHERE id = ? FOR UPDATE', [task.id]);
  if (known && known.version >= task.version) return false;
  const open = !endStates.includes(task.state);
  await execute(tx, `INSERT INTO task_view (id, service, kind, object_id, state, is_open, is_top, actor_id, owner_id, version, created_at, task) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON DUPLICATE KEY UPDATE state = VALUES(state), is_open = VALUES(is_open), owner_id = VALUES(owner_id), version = VALUES(version), task = VALUES(task)`,
    [task.id, task.service, task.kind, task.object.id, task.state, open, task.parentTaskId === null, task.actor?.userId ?? null, ownerId, task.version, new Date(task.createdAt), toJson(task)]);
  return true;
}

export async function findTask(tx: Queryable, id: string): Promise<TaskView | undefined> {
  const row = await selectRow<Row>(tx, 'SELECT id, owner_id, task FROM task_view WHERE id = ?', [id]);
  return row && viewOf(row);
}

/** Own tasks, those of own objects, and what rights cover. */
function visible(who: Who): Sql {
  const rights = accessFilter(who, 'task.read', { id: 'task_view.id', ownerId: 'task_view.owner_id' });
  return who === 'system' ? rights : anyOf([rights, sql`task_view.actor_id = ${who.userId}`]);
}

export async function pageOfTasks(tx: Queryable, who: Who, input: InputOf<typeof listTasks>): Promise<Result<{ items: Task[]; next: string | null }>> {
  const page = await pageQuery<Row>(tx, {
    select: 'task_view.id, task_view.owner_id, task_view.task', from: 'task_view', orderBy: { created: 'task_view.created_at' }, sort: '-created', id: 'task_view.id', limit: input.limit, cursor: input.cursor,
    where: [
      visible(who),
      input.state === undefined ? null : sql`task_view.state = ${input.state}`,
      input.open === undefined ? null : sql`task_view.is_open = ${input.open ? 1 : 0}`,
      input.objectId === undefined ? null : sql`task_view.object_id = ${input.objectId}`,
      input.kind === undefined ? null : sql`task_view.kind = ${input.kind}`,
      input.top ? sql`task_view.is_top = 1` : null,
    ],
  });
  return page.ok ? ok({ items: page.value.rows.map((row) => viewOf(row).task), next: page.value.next }) : page;
}

const KEEP_TASKS_DAYS = 90;
export const purgeTasks = (tx: Queryable, limit: number): Promise<number> =>
  execute(tx, `DELETE FROM task_view WHERE is_open = 0 AND created_at < UTC_TIMESTAMP(3) - INTERVAL ${KEEP_TASKS_DAYS} DAY ORDER BY created_at LIMIT ?`, [limit]);
