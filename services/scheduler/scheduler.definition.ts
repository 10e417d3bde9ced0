// The scheduler as a table: its module, schema, what it copies from compute's events, and what it keeps right by itself.
import { clusterChanged, clusterDeleted, hostChanged, hostDeleted, vmDeleted, type EventEnvelope } from '#contracts';
import { schedulerConfig } from '#config';
import type { DatabaseService } from '#service';
import type { EntityManager } from 'typeorm';
import { schedulerMigrations } from './migrations/0001-tables.ts';
import { schedulerReservationMigrations } from './migrations/0010-reservations.ts';
import { SchedulerModule } from './scheduler.module.ts';
import { viewReconciler } from './src/capacity/capacity.reconciler.ts';
import { forgetCluster, forgetHost, keepCluster, keepHost } from './src/capacity/capacity.store.ts';
import { claimDrift } from './src/drift/claim.drift.ts';
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
  [clusterDeleted.name]: (tx, event) => forgetCluster(tx, event.objectId),
  [vmDeleted.name]: (tx, event) => dropClaim(tx, event.objectId),
};

export const schedulerTables = [...schedulerMigrations, ...schedulerReservationMigrations];

export const schedulerService: DatabaseService<typeof schedulerConfig> = {
  name: 'scheduler',
  config: schedulerConfig,
  module: SchedulerModule,
  migrations: schedulerTables,
  consumers: () => [{
    name: 'scheduler-view',
    sources: ['compute'],
    filters: Object.keys(effects),
    handle: async (tx, event) => { await effects[event.name]?.(tx, event); },
  }],
  reconcilers: ({ db, bus }) => [viewReconciler(db, bus)],
  drift: ({ db, bus }) => [claimDrift(db, bus)],
};
