// Looks at every host twice a second, and now and then asks compute which hosts there are. Takes no input.
import type { DataSource } from 'typeorm';
import type { BusClient } from '#bus';
import { listHosts } from '#contracts';
import { transaction } from '#database';
import { orThrow } from '#kernel';
import type { Reconciler } from '#service';
import { allLiveness, unwatch, watch } from './liveness.store.ts';
import type { LivenessWatch } from './liveness.watch.ts';

export const livenessReconciler = (liveness: LivenessWatch): Reconciler => ({ name: 'liveness', everyMs: 500, run: () => liveness.look() });

export const watchedHostsReconciler = (db: DataSource, bus: BusClient): Reconciler => ({
  name: 'watched-hosts',
  everyMs: 60_000,
  run: async () => {
    const before = await allLiveness(db);
    const found = new Set<string>();
    for (let cursor: string | undefined; ;) {
      const page = orThrow(await bus.request(listHosts, { limit: 500, ...(cursor === undefined ? {} : { cursor }) }, { as: 'system' }));
      for (const host of page.items) {
        found.add(host.id);
        await transaction(db, (tx) => watch(tx, host));
      }
      if (page.next === null) break;
      cursor = page.next;
    }
    for (const row of before) if (!found.has(row.hostId)) await transaction(db, (tx) => unwatch(tx, row.hostId));
  },
});
