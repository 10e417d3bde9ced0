// Purges VMs whose time in the recycle bin is over, through the same door and task as a user's purge. Takes no input,
// idempotent: the key names the VM's version, and a VM that a task works on is not due.
import type { DataSource } from 'typeorm';
import type { BusClient } from '#bus';
import { purgeVm } from '#contracts';
import type { Reconciler } from '#service';
import { dueVms, noteTried } from './vm-bin.store.ts';

/** Few at a time: a purge is work for storage and hosts, and nobody waits for it. */
const AT_ONCE = 20;

export const recycleBinReconciler = (db: DataSource, bus: Pick<BusClient, 'request'>): Reconciler => ({
  name: 'recycle-bin',
  everyMs: 10_000,
  run: async (signal) => {
    for (const { id, version } of await dueVms(db, AT_ONCE)) {
      if (signal.aborted) return;
      // First: one that is refused, or whose task fails, shall not be asked for at every turn.
      await noteTried(db, id);
      await bus.request(purgeVm, { vmId: id }, { as: 'system', idempotencyKey: `purge/${id}/${version}`, timeoutMs: 5_000 });
    }
  },
});
