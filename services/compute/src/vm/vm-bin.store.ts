// Rows of the recycle bin: how long it holds a VM, what goes in, what comes out, what is due. All times are the
// database's.
import type { EntityManager } from 'typeorm';
import { execute, isDuplicate, selectRow, selectRows, type Queryable } from '#database';

/** How long the bin holds this VM: as its cluster says, else the site. 0 = there is no bin, or no such VM. */
export async function holdMsOf(tx: Queryable, vmId: string): Promise<number> {
  const row = await selectRow<{ hold: number | string }>(tx, 'SELECT COALESCE(cluster.recycle_hold_ms, site.recycle_hold_ms) AS hold FROM vm JOIN cluster ON cluster.id = vm.cluster_id JOIN site ON site.id = cluster.site_id WHERE vm.id = ?', [vmId]);
  return Number(row?.hold ?? 0);
}

/** Its name is free from here on. */
export const putIntoBin = (tx: EntityManager, vmId: string, holdMs: number): Promise<number> =>
  execute(tx, `UPDATE vm SET recycled_at = UTC_TIMESTAMP(3), purge_at = UTC_TIMESTAMP(3) + INTERVAL ? SECOND, purge_tried_at = NULL, live_name = NULL,
    version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ?`, [holdMs / 1000, vmId]);

/** False = the name is somebody else's; the transaction goes on. */
export async function takeOutOfBin(tx: EntityManager, vmId: string, name: string): Promise<boolean> {
  try {
    await execute(tx, `UPDATE vm SET recycled_at = NULL, purge_at = NULL, purge_tried_at = NULL, name = ?, live_name = ?, version = version + 1, updated_at = UTC_TIMESTAMP(3)
      WHERE id = ?`, [name, name, vmId]);
    return true;
  } catch (error) {
    if (isDuplicate(error)) return false;
    throw error;
  }
}

/** VMs whose time is over and that nobody works on. One that could not be purged rests for ten minutes. */
export async function dueVms(tx: Queryable, limit: number): Promise<{ id: string; version: number }[]> {
  return selectRows(tx, `SELECT id, version FROM vm WHERE purge_at <= UTC_TIMESTAMP(3) AND deleted_at IS NULL AND task_id IS NULL
    AND (purge_tried_at IS NULL OR purge_tried_at < UTC_TIMESTAMP(3) - INTERVAL 10 MINUTE) ORDER BY purge_at LIMIT ?`, [limit]);
}

export const noteTried = (tx: Queryable, vmId: string): Promise<number> => execute(tx, 'UPDATE vm SET purge_tried_at = UTC_TIMESTAMP(3) WHERE id = ? AND purge_at IS NOT NULL', [vmId]);
