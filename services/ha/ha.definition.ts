// Ha as a table: its module, schema, the hosts that it hears of, and how often it looks.
import { hostChanged, hostDeleted } from '#contracts';
import type { databaseServiceConfig } from '#config';
import type { DatabaseService } from '#service';
import { HaModule } from './ha.module.ts';
import { haMigrations } from './migrations/0001-tables.ts';
import { livenessReconciler, watchedHostsReconciler } from './src/liveness/liveness.reconciler.ts';
import { unwatch, watch } from './src/liveness/liveness.store.ts';
import { LivenessWatch } from './src/liveness/liveness.watch.ts';

export const haService: DatabaseService<typeof databaseServiceConfig> = {
  name: 'ha',
  module: HaModule,
  migrations: haMigrations,
  consumers: () => [
    {
      name: 'ha-hosts',
      sources: ['compute'],
      filters: [hostChanged.name, hostDeleted.name],
      handle: (tx, event) => (event.name === hostDeleted.name ? unwatch(tx, event.objectId) : watch(tx, hostChanged.data.parse(event.data).host)),
    },
  ],
  reconcilers: ({ db, bus, get }) => [livenessReconciler(get(LivenessWatch)), watchedHostsReconciler(db, bus)],
};
