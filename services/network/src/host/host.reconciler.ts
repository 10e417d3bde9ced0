// Puts the copy of compute's hosts right by asking for all of them: events may be older than what is kept of them.
import type { BusClient } from '#bus';
import { listHosts } from '#contracts';
import type { Reconciler } from '#service';
import type { DataSource } from 'typeorm';
import { recordHost } from './host.store.ts';

export const hostReconciler = (db: DataSource, bus: BusClient): Reconciler => ({
  name: 'hosts',
  everyMs: 60_000,
  run: async (signal) => {
    let cursor: string | undefined;
    do {
      const page = await bus.request(listHosts, { limit: 500, ...(cursor === undefined ? {} : { cursor }) }, { as: 'system' });
      // Compute is away: the events will tell.
      if (!page.ok) return;
      for (const host of page.value.items) await recordHost(db, host);
      cursor = page.value.next ?? undefined;
    } while (cursor !== undefined && !signal.aborted);
  },
});
