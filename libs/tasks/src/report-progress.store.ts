// Progress that arrives from outside while the task is parked or runs elsewhere. Shown only while the step that sent the
// command is at work, so that a late report says nothing wrong.
import { dbNow, execute, fromJson, selectRow, toJson, transaction } from '#database';
import { taskOfCommandId } from './keys.ts';
import type { Progress } from './kind.ts';
import type { ProgressView } from './progress.worker.ts';
import type { Book } from './record.store.ts';
import { emitTaskChanged } from './task.store.ts';

interface Shown extends ProgressView {
  readonly at?: string;
}

export async function showProgressOf(book: Book, commandId: string, progress: Progress): Promise<void> {
  const taskId = taskOfCommandId(commandId);
  const seq = Number(commandId.split('/')[1]);
  if (taskId === null || !Number.isInteger(seq)) return;
  await transaction(book.db, async (tx) => {
    const row = await selectRow<{ progress: unknown; since: Date | null }>(tx,
      `SELECT t.progress, s.started_at AS since FROM task t JOIN task_step s ON s.task_id = t.id AND s.seq = ?
       WHERE t.id = ? AND t.ended_at IS NULL AND t.direction = 'forward' AND s.state = 'running' FOR UPDATE`, [seq, taskId]);
    if (row === undefined) return;
    const before = fromJson<Shown | null>(row.progress);
    if (before !== null && before.unit === progress.unit && before.done > progress.done) return;
    const tookMs = row.since === null ? 0 : (await dbNow(tx)).getTime() - row.since.getTime();
    const rate = tookMs > 0 && progress.done > 0 ? (progress.done / tookMs) * 1000 : null;
    const left = Math.max(0, progress.total - progress.done);
    const view: ProgressView = { ...progress, ratePerSecond: rate, remainingMs: rate === null ? null : Math.round((left / rate) * 1000) };
    await execute(tx, 'UPDATE task SET progress = ?, version = version + 1 WHERE id = ?', [toJson(view), taskId]);
    await emitTaskChanged(tx, book.service, taskId);
  });
}
