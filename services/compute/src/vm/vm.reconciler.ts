// Gives back the capacity of VMs that stopped by themselves, and what a task could not give back. Takes no input,
// idempotent.
import type { DataSource, EntityManager } from 'typeorm';
import type { BusClient } from '#bus';
import { releaseClaim, type VmId } from '#contracts';
import { transaction } from '#database';
import type { Reconciler } from '#service';
import { idleStates } from './vm.ts';
import { changeVm, idleClaims, lockVm } from './vm.store.ts';

/** Short: the VM's row is locked meanwhile, and a user's start waits behind it. */
const ASK_MS = 2_000;

type Asking = Pick<BusClient, 'request'>;

export const idleClaimReconciler = (db: DataSource, bus: Asking): Reconciler => ({
  name: 'idle-claims',
  everyMs: 5_000,
  run: async (signal) => {
    for (const { vm } of await idleClaims(db, 100)) {
      // The scheduler is away: it would be for the others too.
      if (signal.aborted || !(await transaction(db, (tx) => giveBack(tx, bus, vm.id)))) return;
    }
  },
});

/** False = the scheduler does not take it now. Under the row's lock: a start that begins meanwhile waits, and claims anew. */
async function giveBack(tx: EntityManager, bus: Asking, vmId: VmId): Promise<boolean> {
  const record = await lockVm(tx, vmId);
  if (!record?.claimHeld || record.vm.taskId !== null || !idleStates.includes(record.vm.status.state)) return true;
  const { version, status } = record.vm;
  const released = await bus.request(releaseClaim, { vmId }, { as: 'system', idempotencyKey: `idle/${vmId}/${status.epoch}/${version}`, timeoutMs: ASK_MS });
  if (released.ok) await changeVm(tx, vmId, { claimHeld: false });
  return released.ok;
}
