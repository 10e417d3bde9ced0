// Keeps the log, the views of tasks and findings, the scopes of objects and what webhooks have delivered at their size. Takes no input, idempotent.
import type { DataSource } from 'typeorm';
import { inPortions } from '#database';
import type { Reconciler } from '#service';
import { purgeView } from '../drift/drift.store.ts';
import { purgeScopes } from '../scope/scope.store.ts';
import { purgeTasks } from '../task/task.store.ts';
import { purgeDeliveries } from '../webhook/webhook.store.ts';
import { purgeEvents, type Kept, type KeptEvents } from './event.store.ts';

const ROWS_AT_ONCE = 2_000;
/** The log takes nothing in while they go. */
const EVENTS_AT_ONCE = 500;

export const retentionReconciler = (db: DataSource, kept: { readonly events: KeptEvents; readonly tasks: Kept }): Reconciler => ({
  name: 'retention',
  everyMs: 60_000,
  run: async (signal) => {
    const purges: [number, (limit: number) => Promise<number>][] = [
      [EVENTS_AT_ONCE, (limit) => purgeEvents(db, limit, kept.events)], [ROWS_AT_ONCE, (limit) => purgeTasks(db, limit, kept.tasks)], [ROWS_AT_ONCE, (limit) => purgeScopes(db, limit)], [ROWS_AT_ONCE, (limit) => purgeView(db, limit)], [ROWS_AT_ONCE, (limit) => purgeDeliveries(db, limit)],
    ];
    for (const [limit, purge] of purges) {
      if (signal.aborted) return;
      await inPortions(limit, purge, signal);
    }
  },
});
