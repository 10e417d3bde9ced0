// Keeps what a child last told in the row of its parent's step, so that the parent shows it. For the eye alone: what is
// lost here is seen when the parent looks at its child again.
import type { Task } from '#contracts';
import { selectRow, sql, toJson, transaction } from '#database';
import { seenOf } from './child-view.ts';
import type { Book } from './record.store.ts';
import { childrenOf } from './rows.ts';
import type { ChildRecord } from './rows.ts';
import { takeInHand } from './task-in-hand.store.ts';
import type { TaskInHand } from './task-in-hand.store.ts';
import { tellTask } from './task.store.ts';

/** Does nothing where the parent has ended, or is another service's. */
export async function showChildren(book: Book, parentTaskId: string, children: readonly Task[]): Promise<void> {
  if ((await selectRow(book.db, 'SELECT id FROM task WHERE id = ? AND ended_at IS NULL', [parentTaskId])) === undefined) return;
  await transaction(book.db, async (tx) => {
    const task = await takeInHand(tx, sql`t.id = ${parentTaskId} AND t.ended_at IS NULL`);
    if (task !== undefined && keep(task, children)) await tellTask(tx, book.service, task);
  });
}

/** True = it was news. */
function keep(task: TaskInHand, children: readonly Task[]): boolean {
  let news = false;
  for (const step of task.steps.filter(({ state }) => state === 'running' || state === 'undoing')) {
    const calls = childrenOf(step);
    const changed = Object.fromEntries(Object.entries(calls).flatMap(([key, record]) => changedRecord(key, record, children)));
    if (Object.keys(changed).length === 0) continue;
    news = true;
    task.setStep(step.seq, { calls: toJson({ ...calls, ...changed }) });
  }
  return news;
}

function changedRecord(key: string, record: ChildRecord, children: readonly Task[]): [string, ChildRecord][] {
  const told = children.find((task) => task.id === record.taskId);
  if (told === undefined || told.version <= (record.seen?.version ?? 0)) return [];
  return [[key, { ...record, seen: seenOf(told, record.seen) }]];
}
