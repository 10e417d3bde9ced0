// Progress that arrives from outside while the task is parked or runs elsewhere. Shown only while the step that sent the
// command is at work, so that a late report says nothing wrong.
import { fromJson, sql, toJson, transaction } from '#database';
import { taskOfCommandId } from './keys.ts';
import type { Progress } from './kind.ts';
import type { ProgressView } from './progress.worker.ts';
import type { Book } from './record.store.ts';
import { takeInHand } from './task-in-hand.store.ts';
import { tellTask } from './task.store.ts';

interface Shown extends ProgressView {
  readonly at?: string;
}

export async function showProgressOf(book: Book, commandId: string, progress: Progress): Promise<void> {
  const taskId = taskOfCommandId(commandId);
  const seq = Number(commandId.split('/')[1]);
  if (taskId === null || !Number.isInteger(seq)) return;
  await transaction(book.db, async (tx) => {
    const task = await takeInHand(tx, sql`t.id = ${taskId} AND t.ended_at IS NULL AND t.direction = 'forward'`);
    const step = task?.steps[seq];
    if (task === undefined || step?.state !== 'running') return;
    const before = fromJson<Shown | null>(task.row.progress);
    if (before !== null && before.unit === progress.unit && before.done > progress.done) return;
    const tookMs = step.started_at === null ? 0 : task.now.getTime() - step.started_at.getTime();
    const rate = tookMs > 0 && progress.done > 0 ? (progress.done / tookMs) * 1000 : null;
    const left = Math.max(0, progress.total - progress.done);
    const view: ProgressView = { ...progress, ratePerSecond: rate, remainingMs: rate === null ? null : Math.round((left / rate) * 1000) };
    task.set({ progress: toJson(view) });
    await tellTask(tx, book.service, task);
  });
}
