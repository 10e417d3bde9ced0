// Asks hosts for what was missed: those that are not connected each time, the others now and then. Takes no input and
// may run at any moment, in every replica.
import type { DataSource } from 'typeorm';
import type { Reconciler } from '#service';
import { hostIdsIn } from './host.store.ts';
import type { HostReports } from './host.reports.ts';

const LOOK_AT_CONNECTED_EVERY = 6;

export function hostReconciler(db: DataSource, reports: HostReports): Reconciler {
  let round = 0;
  return {
    name: 'hosts',
    everyMs: 5_000,
    run: async () => {
      const missing = [...(await hostIdsIn(db, 'awaiting')), ...(await hostIdsIn(db, 'not-responding'))];
      const connected = round++ % LOOK_AT_CONNECTED_EVERY === 0 ? await hostIdsIn(db, 'connected') : [];
      await Promise.all([...missing, ...connected].map((hostId) => reports.look(hostId)));
    },
  };
}
