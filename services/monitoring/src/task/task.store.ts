// Rows of the tasks view: what the owners of tasks last told. The highest version of a task wins, whatever comes when.
import type { EntityManager } from 'typeorm';
import { endStates, type InputOf, type SortsOf, type Task, type listTasks } from '#contracts';
import { anyOf, execute, fromJson, pageQuery, selectRow, sql, toJson, type Queryable, type Sql, type Who } from '#database';
import { ok, type Result } from '#kernel';
import type { Kept } from '../event/event.store.ts';
import { scopeFilter, scopeJoin } from '../scope/scope.store.ts';

export interface TaskView { readonly task: Task; readonly ownerId: string | null }
interface Row { id: string; owner_id: string | null; task: unknown }
const viewOf = (row: Row): TaskView => ({ task: fromJson<Task>(row.task), ownerId: row.owner_id });

/** What is told of tasks; an older word than the one that is known changes nothing. */
export async function keepTasks(tx: EntityManager, told: readonly TaskView[]): Promise<void> {
  const newest = new Map<string, TaskView>();
  for (const view of told) if ((newest.get(view.task.id)?.task.version ?? 0) < view.task.version) newest.set(view.task.id, view);
  const rows = [...newest.values()].map(({ task, ownerId }) => ({
    id: task.id, service: task.service, kind: task.kind, object_id: task.object.id, is_top: task.parentTaskId === null,
    actor_id: task.actor?.userId ?? null, created_at: new Date(task.createdAt),
    state: task.state, is_open: !endStates.includes(task.state), owner_id: ownerId, task: toJson(task), version: task.version,
  }));
  const [first] = rows;
  if (first === undefined) return;
  const columns = Object.keys(first);
  const marks = `(${columns.map(() => '?').join(', ')})`;
  // The version last: assignments run from left to right, and the others compare with the one before.
  const changed = ['state', 'is_open', 'owner_id', 'task', 'version'].map((column) => `${column} = IF(version < VALUES(version), VALUES(${column}), ${column})`);
  await execute(tx, `INSERT INTO task_view (${columns.join(', ')}) VALUES ${rows.map(() => marks).join(', ')} ON DUPLICATE KEY UPDATE ${changed.join(', ')}`, rows.flatMap((row) => Object.values(row)));
}

export async function findTask(tx: Queryable, id: string): Promise<TaskView | undefined> {
  const row = await selectRow<Row>(tx, 'SELECT id, owner_id, task FROM task_view WHERE id = ?', [id]);
  return row && viewOf(row);
}

/** Own tasks, those of own objects, and what rights cover. */
function visible(who: Who): Sql {
  const rights = scopeFilter(who, 'task.read', { id: 'task_view.object_id', ownerId: 'task_view.owner_id' });
  return who === 'system' ? rights : anyOf([rights, sql`task_view.actor_id = ${who.userId}`]);
}

export async function pageOfTasks(tx: Queryable, who: Who, input: InputOf<typeof listTasks>): Promise<Result<{ items: Task[]; next: string | null }>> {
  const page = await pageQuery<Row>(tx, {
    select: 'task_view.id, task_view.owner_id, task_view.task', from: `task_view ${scopeJoin('task_view.object_id')}`, orderBy: { createdAt: 'task_view.created_at' } satisfies SortsOf<typeof listTasks>, preset: '-createdAt',
    id: 'task_view.id', input,
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

const removable = "is_open = 0 AND state <> 'needs-attention'";

/** Removes tasks that ended too long ago, or are too many; at most `limit`. One that needs attention can be retried, and stays; so does all of the last week. */
export async function purgeTasks(tx: Queryable, limit: number, { days, most }: Kept): Promise<number> {
  const tooOld = await execute(tx, `DELETE FROM task_view WHERE ${removable} AND created_at < UTC_TIMESTAMP(3) - INTERVAL ? DAY
    AND JSON_VALUE(task, '$.endedAt') < DATE_FORMAT(UTC_TIMESTAMP(3) - INTERVAL ? DAY, '%Y-%m-%dT%H:%i:%s') ORDER BY created_at LIMIT ?`, [days, days, limit]);
  if (tooOld === limit) return limit;
  const first = await selectRow<{ created_at: Date }>(tx, 'SELECT created_at FROM task_view WHERE is_open = 0 ORDER BY created_at DESC LIMIT 1 OFFSET ?', [most]);
  if (first === undefined) return tooOld;
  return tooOld + await execute(tx, `DELETE FROM task_view WHERE ${removable} AND created_at <= ? AND created_at < UTC_TIMESTAMP(3) - INTERVAL 7 DAY ORDER BY created_at LIMIT ?`, [first.created_at, limit - tooOld]);
}
