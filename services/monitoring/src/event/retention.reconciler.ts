// Keeps the log and the tasks view at their size. Takes no input, idempotent.
import type { DataSource } from 'typeorm';
import type { Reconciler } from '#service';
import { purgeTasks } from '../task/task.store.ts';
import { purgeEvents } from './event.store.ts';

const ROWS_AT_ONCE = 2_000;

export const retentionReconciler = (db: DataSource): Reconciler => ({
  name: 'retention',
  everyMs: 60_000,
  run: async (signal) => {
    for (const purge of [purgeEvents, purgeTasks]) {
      let removed = ROWS_AT_ONCE;
      while (removed === ROWS_AT_ONCE && !signal.aborted) removed = await purge(db, ROWS_AT_ONCE);
    }
  },
});
