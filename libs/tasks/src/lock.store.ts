// Locks on objects: an object belongs to one root task at a time; that task's children may share it. Taken and released
// in the transactions that begin and end a task, so no crash leaves one behind.
import { Busy } from '#contracts';
import { execute, executeLater, selectRow } from '#database';
import type { Queryable } from '#database';
import { FaultError } from '#kernel';
import type { ObjectRef } from './kind.ts';

export interface Holder {
  readonly taskId: string;
  readonly rootTaskId: string;
}

/** Throws BUSY with the holder when an object belongs to another root task. */
export async function takeLocks(tx: Queryable, holder: Holder, objects: readonly ObjectRef[]): Promise<void> {
  for (const { noun, id } of inOrder(objects)) {
    await executeLater(tx, `INSERT INTO task_lock (noun, object_id, root_task_id, task_id, holders, since) VALUES (?, ?, ?, ?, 1, UTC_TIMESTAMP(3))
      ON DUPLICATE KEY UPDATE holders = holders + IF(root_task_id = ?, 1, 0)`, [noun, id, holder.rootTaskId, holder.taskId, holder.rootTaskId]);
    const row = await selectRow<{ root_task_id: string; task_id: string }>(tx, 'SELECT root_task_id, task_id FROM task_lock WHERE noun = ? AND object_id = ?', [noun, id]);
    if (row !== undefined && row.root_task_id !== holder.rootTaskId) {
      const held = await selectRow<{ kind: string }>(tx, 'SELECT kind FROM task WHERE id = ?', [row.task_id]);
      throw new FaultError(Busy.fault(`${held === undefined ? 'A task' : `The task ${held.kind}`} works on this ${noun}.`, { noun, id, taskId: row.task_id, heldBy: row.root_task_id }));
    }
  }
}

export async function releaseLocks(tx: Queryable, holder: Holder, objects: readonly ObjectRef[]): Promise<void> {
  for (const { noun, id } of inOrder(objects)) {
    const key = [noun, id, holder.rootTaskId];
    if ((await execute(tx, releaseIf('holders <= 1'), key)) > 0) continue;
    await execute(tx, 'UPDATE task_lock SET holders = holders - 1 WHERE noun = ? AND object_id = ? AND root_task_id = ?', key);
    // Two that saw each other may both have left it to the other.
    await execute(tx, releaseIf('holders <= 0'), key);
  }
}

const releaseIf = (condition: string): string => `DELETE FROM task_lock WHERE noun = ? AND object_id = ? AND root_task_id = ? AND ${condition}`;

/** One order for all, so that two tasks do not wait for each other. */
const inOrder = (objects: readonly ObjectRef[]): ObjectRef[] => {
  const byKey = new Map(objects.map((object) => [`${object.noun} ${object.id}`, object]));
  return [...byKey.keys()].sort().flatMap((key) => byKey.get(key) ?? []);
};
