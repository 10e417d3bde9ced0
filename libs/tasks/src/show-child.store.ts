// Keeps what a child last told in the row of its parent's step, so that the parent shows it. For the eye alone: what is
// lost here is seen when the parent looks at its child again.
import type { EntityManager } from 'typeorm';
import type { Task } from '#contracts';
import { execute, selectRow, selectRows, toJson, transaction, updateRows, sql } from '#database';
import { seenOf } from './child-view.ts';
import type { Book } from './record.store.ts';
import { childrenOf } from './rows.ts';
import type { ChildRecord, StepRow } from './rows.ts';
import { emitTaskChanged } from './task.store.ts';

/** Does nothing where the parent has ended, or is another service's. */
export async function showChildren(book: Book, parentTaskId: string, children: readonly Task[]): Promise<void> {
  if ((await selectRow(book.db, 'SELECT id FROM task WHERE id = ? AND ended_at IS NULL', [parentTaskId])) === undefined) return;
  await transaction(book.db, async (tx) => {
    if ((await selectRow(tx, 'SELECT id FROM task WHERE id = ? AND ended_at IS NULL FOR UPDATE', [parentTaskId])) === undefined) return;
    const news = await keep(tx, parentTaskId, children);
    if (!news) return;
    await execute(tx, 'UPDATE task SET version = version + 1 WHERE id = ?', [parentTaskId]);
    await emitTaskChanged(tx, book.service, parentTaskId);
  });
}

async function keep(tx: EntityManager, parentTaskId: string, children: readonly Task[]): Promise<boolean> {
  const steps = await selectRows<StepRow>(tx, "SELECT * FROM task_step WHERE task_id = ? AND state IN ('running', 'undoing') AND calls IS NOT NULL", [parentTaskId]);
  let news = false;
  for (const step of steps) {
    const calls = childrenOf(step);
    const changed = Object.fromEntries(Object.entries(calls).flatMap(([key, record]) => changedRecord(key, record, children)));
    if (Object.keys(changed).length === 0) continue;
    news = true;
    await updateRows(tx, 'task_step', { calls: toJson({ ...calls, ...changed }) }, sql`task_id = ${parentTaskId} AND seq = ${step.seq}`);
  }
  return news;
}

function changedRecord(key: string, record: ChildRecord, children: readonly Task[]): [string, ChildRecord][] {
  const told = children.find((task) => task.id === record.taskId);
  if (told === undefined || told.version <= (record.seen?.version ?? 0)) return [];
  return [[key, { ...record, seen: seenOf(told, record.seen) }]];
}
