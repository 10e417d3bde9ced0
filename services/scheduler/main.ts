// The scheduler: where a VM goes, and the capacity that is held for it.
import { clusterChanged, hostChanged, hostDeleted, vmDeleted, type EventEnvelope } from '#contracts';
import { startService } from '#service';
import type { EntityManager } from 'typeorm';
import { schedulerMigrations } from './migrations/0001-tables.ts';
import { SchedulerModule } from './scheduler.module.ts';
import { claimReconciler, viewReconciler } from './src/capacity/capacity.reconciler.ts';
import { forgetHost, keepCluster, keepHost } from './src/capacity/capacity.store.ts';
import { dropClaim, recount } from './src/claim/claim.store.ts';

/** What each event does to the copy. */
const effects: Readonly<Record<string, (tx: EntityManager, event: EventEnvelope) => Promise<unknown>>> = {
  [hostChanged.name]: async (tx, event) => {
    const { host } = hostChanged.data.parse(event.data);
    await keepHost(tx, host);
    await recount(tx, host.id);
  },
  [hostDeleted.name]: (tx, event) => forgetHost(tx, event.objectId),
  [clusterChanged.name]: (tx, event) => keepCluster(tx, clusterChanged.data.parse(event.data).cluster),
  [vmDeleted.name]: (tx, event) => dropClaim(tx, event.objectId),
};

await startService({
  name: 'scheduler',
  module: SchedulerModule,
  migrations: schedulerMigrations,
  consumers: () => [{ name: 'scheduler-view', sources: ['compute'], filters: Object.keys(effects), handle: async (tx, event) => void (await effects[event.name]?.(tx, event)) }],
  reconcilers: ({ db, bus }) => [viewReconciler(db, bus), claimReconciler(db, bus)],
});
