// Looks for open tasks that nobody runs although they are due, and gets them going: through Redis when it works, with its
// own hands when it does not or when a wake-up has been on its way for too long. Takes no input; every replica does it.
import type { DataSource } from 'typeorm';
import { purgeCommands } from './command.store.ts';
import { dueTasks } from './claim.store.ts';
import { purgeOutbox } from './outbox.store.ts';

export interface Sweep {
  readonly db: DataSource;
  readonly sweepMs: number;
  readonly hasRoom: () => boolean;
  /** False when the wake-up could not be handed on. */
  readonly enqueue: (taskId: string, wakeCount: number) => Promise<boolean>;
  readonly runHere: (taskId: string) => void;
}

const AT_ONCE = 200;

export async function sweepTasks(sweep: Sweep): Promise<void> {
  for (const { id, lateMs, wakeCount } of await dueTasks(sweep.db, AT_ONCE)) {
    const overdue = lateMs > 2 * sweep.sweepMs;
    const handedOn = !overdue && (await sweep.enqueue(id, wakeCount));
    if (!handedOn && sweep.hasRoom()) sweep.runHere(id);
  }
}

/** Removes what is no longer promised to anybody, a little at a time. */
export async function purgeOld(db: DataSource): Promise<void> {
  await purgeOutbox(db);
  await purgeCommands(db);
}
