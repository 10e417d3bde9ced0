// The queue for the workers of a service, as it stands in the schema: which due task is next, and which place one has. The order is
// that of slots: who has the fewest tasks at work is next, with the one of his that has waited longest. Tasks that are being
// cancelled go before all others. Read without locks: it says whom to claim, and the claim decides.
import { selectRow, selectRows } from '#database';
import type { Queryable } from '#database';

/** Whose turn it is to be kept apart, as for slots: the user who asked, whose object it is, or the task that all of it belongs to. */
const user = "COALESCE(JSON_VALUE(t.actor, '$.userId'), CONVERT(t.owner_id USING utf8mb4), CONVERT(t.root_task_id USING utf8mb4))";
const isHeld = 't.claim_until >= UTC_TIMESTAMP(3)';

/**
 * Open tasks, how many of its user's are at work or before it (`nth`), itself included, and whether it waits for a worker. One pass over the
 * open tasks; asked only while tasks queue up, and then once for several of them.
 */
const queue = `WITH open_task AS (
    SELECT t.id, t.wake_at, t.claimed_by, t.claim_until, t.started_at, t.cancel_requested_at IS NOT NULL AS is_cancelled, ${user} AS user_key,
      COALESCE(${isHeld}, 0) AS is_held, t.wake_at <= UTC_TIMESTAMP(3) AND NOT COALESCE(${isHeld}, 0) AS is_due
    FROM task t WHERE t.ended_at IS NULL),
  ordered AS (
    SELECT id, wake_at, is_cancelled, is_due,
      SUM(is_held) OVER (PARTITION BY user_key) + SUM(is_due) OVER (PARTITION BY user_key ORDER BY wake_at, id) AS nth
    FROM open_task)`;
const inOrder = 'is_cancelled DESC, nth, wake_at, id';

/** The next ones, in their order. */
export const nextInTurn = async (db: Queryable, limit: number): Promise<string[]> =>
  (await selectRows<{ id: string }>(db, `${queue} SELECT id FROM ordered WHERE is_due ORDER BY ${inOrder} LIMIT ?`, [limit])).map(({ id }) => id);

export interface WorkerPlace {
  /** From 1. */
  readonly position: number;
  /** Of the tasks at work, the one that has begun first. */
  readonly holder: string | null;
}

/** Undefined when the task does not wait for a worker. */
export async function placeInQueue(db: Queryable, taskId: string): Promise<WorkerPlace | undefined> {
  const row = await selectRow<{ place: number | string; holder: string | null }>(db, `${queue},
    placed AS (SELECT id, ROW_NUMBER() OVER (ORDER BY ${inOrder}) AS place FROM ordered WHERE is_due)
    SELECT place, (SELECT id FROM open_task WHERE is_held ORDER BY started_at, id LIMIT 1) AS holder FROM placed WHERE id = ?`, [taskId]);
  return row === undefined ? undefined : { position: Number(row.place), holder: row.holder };
}
