// The uids that VMs run under: each belongs to one VM for its life and rests for a day before it may be another's.
import type { EntityManager } from 'typeorm';
import { execute, insertRow, nextNumber, selectRow } from '#database';

const QUARANTINE_HOURS = 24;

/**
 * A uid for the VM's life: the one that has been free longest, past its quarantine, else the next never used. Null = the
 * range is used up. Creations take their uids one after the other.
 */
export async function takeUid(tx: EntityManager, vmId: string, range: { first: number; last: number }): Promise<number | null> {
  await nextNumber(tx, 'vm-uid'); // its row stays locked until the transaction ends
  const free = await selectRow<{ uid: number }>(tx, `SELECT uid FROM vm_uid WHERE vm_id IS NULL
    AND freed_at < UTC_TIMESTAMP(3) - INTERVAL ? HOUR AND uid BETWEEN ? AND ? ORDER BY freed_at LIMIT 1`, [QUARANTINE_HOURS, range.first, range.last]);
  if (free) {
    await execute(tx, 'UPDATE vm_uid SET vm_id = ?, freed_at = NULL WHERE uid = ?', [vmId, free.uid]);
    return free.uid;
  }
  const top = await selectRow<{ uid: number | null }>(tx, 'SELECT MAX(uid) AS uid FROM vm_uid WHERE uid BETWEEN ? AND ?', [range.first, range.last]);
  const uid = (top?.uid ?? range.first - 1) + 1;
  if (uid > range.last) return null;
  await insertRow(tx, 'vm_uid', { uid, vm_id: vmId });
  return uid;
}
