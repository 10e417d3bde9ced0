// Looks for open tasks that nobody runs although they are due, and gets them going: through Redis when it works, with its
// own hands when it does not, when a wake-up has been on its way for too long, or when more are due than one look shows.
// Takes no input; every replica does it.
import type { DataSource } from 'typeorm';
import { purgeCommands } from './command.store.ts';
import { dueTasks, freeClaimsOfGone } from './claim.store.ts';
import { purgeOutbox } from './outbox.store.ts';
import { forgetTasks } from './retention.store.ts';
import type { Forgetting } from './retention.store.ts';

export interface Sweep {
  readonly db: DataSource;
  readonly sweepMs: number;
  /** False when the wake-up could not be handed on. */
  readonly enqueue: (taskId: string, wakeCount: number) => Promise<boolean>;
  /** Runs the task here as soon as there is a place; false when none came free in so long. */
  readonly begin: (taskId: string, withinMs: number) => Promise<boolean>;
}

const AT_ONCE = 200;

/**
 * True: there is more to do, at once. Tasks that have been late for long, and those of a backlog that is longer than one look, keep
 * this replica's places filled, so that they pass at its full speed.
 */
export async function sweepTasks(sweep: Sweep): Promise<boolean> {
  await freeClaimsOfGone(sweep.db);
  const due = await dueTasks(sweep.db, AT_ONCE);
  const isBacklog = due.length === AT_ONCE;
  const own: string[] = [];
  for (const { id, lateMs, wakeCount } of due) {
    const isOverdue = lateMs > 2 * sweep.sweepMs;
    if (isBacklog || isOverdue || !(await sweep.enqueue(id, wakeCount))) own.push(id);
  }
  const endsAt = performance.now() + sweep.sweepMs;
  for (const id of own) {
    // What is due changes meanwhile.
    if (performance.now() > endsAt) return true;
    if (!(await sweep.begin(id, sweep.sweepMs))) return false;
  }
  return isBacklog;
}

/** Removes what is no longer promised to anybody, a little at a time; the signal ends it between two portions. */
export async function purgeOld(forgetting: Forgetting, signal: AbortSignal): Promise<void> {
  await purgeOutbox(forgetting.db, signal);
  await purgeCommands(forgetting.db, signal);
  await forgetTasks(forgetting, signal);
}
