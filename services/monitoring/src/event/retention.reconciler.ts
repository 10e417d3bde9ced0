// Keeps the log, the views of tasks and findings and the scopes of objects at their size. Takes no input, idempotent.
import type { DataSource } from 'typeorm';
import type { Reconciler } from '#service';
import { purgeView } from '../drift/drift.store.ts';
import { purgeScopes } from '../scope/scope.store.ts';
import { purgeTasks } from '../task/task.store.ts';
import { purgeEvents, type Kept } from './event.store.ts';

const ROWS_AT_ONCE = 2_000;

export const retentionReconciler = (db: DataSource, kept: { readonly events: Kept; readonly tasks: Kept }): Reconciler => ({
  name: 'retention',
  everyMs: 60_000,
  run: async (signal) => {
    const purges = [() => purgeEvents(db, ROWS_AT_ONCE, kept.events), () => purgeTasks(db, ROWS_AT_ONCE, kept.tasks), () => purgeScopes(db, ROWS_AT_ONCE), () => purgeView(db, ROWS_AT_ONCE)];
    for (const purge of purges) {
      let removed = ROWS_AT_ONCE;
      while (removed === ROWS_AT_ONCE && !signal.aborted) removed = await purge();
    }
  },
});
