// Rebuilds the copy of hosts and clusters from compute. Takes no input; may run at any moment, in every replica.
import type { DataSource } from 'typeorm';
import type { BusClient } from '#bus';
import { listClusters, listHosts } from '#contracts';
import { selectRows, transaction } from '#database';
import { orThrow } from '#kernel';
import type { Reconciler } from '#service';
import { recount } from '../claim/claim.store.ts';
import { forgetHost, keepCluster, keepHost } from './capacity.store.ts';

export const viewReconciler = (db: DataSource, bus: BusClient): Reconciler => ({
  name: 'hosts-and-clusters',
  everyMs: 30_000,
  run: async () => {
    const before = (await selectRows<{ host_id: string }>(db, 'SELECT host_id FROM host_view')).map((row) => row.host_id);
    for (let cursor: string | undefined; ;) {
      const page = orThrow(await bus.request(listClusters, { limit: 500, ...(cursor === undefined ? {} : { cursor }) }, { as: 'system' }));
      for (const cluster of page.items) await transaction(db, (tx) => keepCluster(tx, cluster));
      if (page.next === null) break;
      cursor = page.next;
    }
    const found = new Set<string>();
    for (let cursor: string | undefined; ;) {
      const page = orThrow(await bus.request(listHosts, { limit: 500, ...(cursor === undefined ? {} : { cursor }) }, { as: 'system' }));
      for (const host of page.items) {
        found.add(host.id);
        await transaction(db, async (tx) => {
          await keepHost(tx, host);
          await recount(tx, host.id);
        });
      }
      if (page.next === null) break;
      cursor = page.next;
    }
    for (const hostId of before.filter((id) => !found.has(id))) await transaction(db, (tx) => forgetHost(tx, hostId));
  },
});
