// Gives back the capacity of VMs that stopped by themselves. Takes no input, idempotent.
import type { DataSource } from 'typeorm';
import type { BusClient } from '#bus';
import { releaseClaim } from '#contracts';
import { transaction } from '#database';
import type { Reconciler } from '#service';
import { changeVm, idleClaims, lockVm } from './vm.store.ts';

export const idleClaimReconciler = (db: DataSource, bus: BusClient): Reconciler => ({
  name: 'idle-claims',
  everyMs: 5_000,
  run: async (signal) => {
    for (const { vm } of await idleClaims(db, 100)) {
      if (signal.aborted) return;
      await transaction(db, async (tx) => {
        // Under the row's lock: a start that begins meanwhile waits, and claims anew.
        const record = await lockVm(tx, vm.id);
        if (!record?.claimHeld || record.vm.taskId !== null) return;
        const released = await bus.request(releaseClaim, { vmId: vm.id }, { as: 'system', idempotencyKey: `idle/${vm.id}/${vm.status.epoch}/${vm.version}` });
        if (released.ok) await changeVm(tx, vm.id, { claimHeld: false });
      });
    }
  },
});
