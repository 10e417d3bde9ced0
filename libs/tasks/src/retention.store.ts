// Forgets tasks that ended long ago, or long enough ago and too many. What may still be needed stays: tasks that need
// attention, which can be retried, and children for as long as their root task is not known to have ended.
import type { DataSource } from 'typeorm';
import { endStates, getTask, type Task } from '#contracts';
import { execute, selectRow, selectRows, sql, transaction } from '#database';
import type { TaskBus } from './calls.worker.ts';

export interface TasksKept { readonly days: number; readonly most: number }
export interface Forgetting { readonly db: DataSource; readonly bus: Pick<TaskBus, 'request'>; readonly kept: TasksKept }

export const tasksKept: TasksKept = { days: 90, most: 1_000_000 };
/** However many there are: keys of commands are kept for three days, and what they answered is a task's id. */
export const LEAST_DAYS = 7;
const AT_ONCE = 200;

interface Ended { readonly id: string; readonly parent_task_id: string | null; readonly root_task_id: string; readonly ended_at: Date }

/** Answers how many are forgotten; the signal ends it between two portions. */
export async function forgetTasks(forgetting: Forgetting, signal?: AbortSignal): Promise<number> {
  const { db } = forgetting;
  const before = await keptSince(forgetting);
  let forgotten = 0;
  for (let after: Pick<Ended, 'ended_at' | 'id'> = { ended_at: new Date(0), id: '' }; ;) {
    const ended = await selectRows<Ended>(db, sql`SELECT id, parent_task_id, root_task_id, ended_at FROM task
      WHERE ended_at < ${before} AND state <> 'needs-attention' AND (ended_at > ${after.ended_at} OR (ended_at = ${after.ended_at} AND id > ${after.id})) ORDER BY ended_at, id LIMIT ${AT_ONCE}`);
    const needed = await rootsInUse(forgetting, ended.filter((task) => task.parent_task_id !== null).map((task) => task.root_task_id));
    const ids = ended.filter((task) => task.parent_task_id === null || !needed.has(task.root_task_id)).map(({ id }) => id);
    await transaction(db, async (tx) => {
      await execute(tx, sql`DELETE FROM task_step WHERE task_id IN (${ids})`);
      await execute(tx, sql`DELETE FROM task WHERE id IN (${ids})`);
    });
    forgotten += ids.length;
    const last = ended.at(-1);
    if (last === undefined || ended.length < AT_ONCE || signal?.aborted === true) return forgotten;
    after = last;
  }
}

/** What ended before is forgotten: by age, or earlier where there are too many. */
async function keptSince({ db, kept }: Forgetting): Promise<Date> {
  const ages = await selectRow<{ age: Date; least: Date }>(db, sql`SELECT UTC_TIMESTAMP(3) - INTERVAL ${kept.days} DAY AS age, UTC_TIMESTAMP(3) - INTERVAL ${LEAST_DAYS} DAY AS least`);
  if (ages === undefined) throw new Error('the database did not tell the time');
  const first = await selectRow<{ ended_at: Date }>(db, sql`SELECT ended_at FROM task WHERE ended_at IS NOT NULL ORDER BY ended_at DESC LIMIT 1 OFFSET ${kept.most}`);
  const byNumber = first === undefined ? ages.age : earlier(first.ended_at, ages.least);
  return byNumber > ages.age ? byNumber : ages.age;
}

const earlier = (one: Date, other: Date): Date => (one < other ? one : other);
const inUse = ({ state }: Pick<Task, 'state'>): boolean => state === 'needs-attention' || !endStates.includes(state);

/** Roots that are open or may be retried: as their rows here say, or else as monitoring says. Where nobody says, they are. */
async function rootsInUse({ db, bus }: Forgetting, roots: readonly string[]): Promise<ReadonlySet<string>> {
  const asked = [...new Set(roots)];
  const here = await selectRows<Pick<Task, 'id' | 'state'>>(db, sql`SELECT id, state FROM task WHERE id IN (${asked})`);
  const states = new Map(here.map((root) => [String(root.id), inUse(root)]));
  for (const id of asked.filter((root) => !states.has(root))) {
    const answer = await bus.request(getTask, { taskId: id }, { as: 'system' });
    states.set(id, answer.ok ? inUse(answer.value) : answer.fault.code !== 'NOT_FOUND');
  }
  return new Set(asked.filter((root) => states.get(root) === true));
}
