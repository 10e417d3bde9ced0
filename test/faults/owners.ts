// What the services themselves have in their schemas. The kill matrix asks here how tasks ended: the view that everybody
// else gets is a copy that comes a moment later, and whoever makes it is itself among what is killed.
import { createPool } from 'mysql2/promise';
import type { Pool } from 'mysql2/promise';
import { endStates, taskServices } from '#contracts';
import type { TaskId, TaskState } from '#contracts';
import { eventually } from '../e2e/eventually.ts';
import type { World } from '../e2e/world.ts';

const ENDS_WITHIN_MS = 180_000;

const pools = new Map<string, Pool>();

/** The rows of a query on a service's schema. */
export async function queried({ record }: World, service: string, query: string, values: unknown[] = []): Promise<object[]> {
  const url = record.mysql.urls[service]!;
  const pool = pools.get(url) ?? createPool({ uri: url, connectionLimit: 4 });
  pools.set(url, pool);
  const [rows] = await pool.query(query, values);
  return rows as object[];
}

/** To be called when nothing is asked any more. */
export async function closeOwners(): Promise<void> {
  await Promise.all([...pools.values()].map((pool) => pool.end()));
  pools.clear();
}

/** How a task ended, as the service that owns it has it. */
interface End {
  readonly state: TaskState;
  readonly error: string | null;
  readonly objectId: string;
  readonly parentTaskId: string | null;
}
export type Ends = ReadonlyMap<string, End>;

async function tasksOf(world: World, ids: readonly TaskId[]): Promise<Ends> {
  const rows = await Promise.all(taskServices.map((service) => queried(world, service, 'SELECT id, state, error, object_id AS objectId, parent_task_id AS parentTaskId FROM task WHERE id IN (?)', [ids])));
  return new Map((rows.flat() as (End & { id: string })[]).map(({ id, ...end }) => [id, end]));
}

/** Waits for the ends of these tasks, and answers what there is in the end; the database may be away meanwhile. */
export async function endsOf(world: World, ids: readonly TaskId[]): Promise<Ends> {
  const open = (ends: Ends): boolean => ids.some((id) => !endStates.includes(ends.get(id)?.state ?? 'queued'));
  let last: Ends | undefined;
  await eventually('every task has ended', async () => {
    last = await tasksOf(world, ids);
    return !open(last);
  }, { withinMs: ENDS_WITHIN_MS, everyMs: 200 }).catch(() => undefined);
  return last ?? tasksOf(world, ids);
}
