// A lease in the schema: at most one holder at a time, by the database's clock. Its epoch rises with every change of
// holder; who writes under a lease checks holder and epoch in the same transaction.
import { execute, selectRow } from '#database';
import type { Queryable } from '#database';
import { isGone } from './process-name.proc.ts';

export interface Lease {
  readonly name: string;
  readonly holder: string;
  readonly epoch: number;
}

/** Takes or renews; null while somebody else holds it. One that is certainly gone holds nothing. */
export async function holdLease(db: Queryable, name: string, holder: string, forMs: number): Promise<Lease | null> {
  const met = await take(db, name, holder, forMs);
  if (met === 0) {
    const known = await selectRow<{ holder: string | null }>(db, 'SELECT holder FROM relay_lease WHERE name = ?', [name]);
    if (known === undefined) await execute(db, 'INSERT IGNORE INTO relay_lease (name, held_until) VALUES (?, UTC_TIMESTAMP(3))', [name]);
    else if (known.holder !== null && isGone(known.holder)) await execute(db, 'UPDATE relay_lease SET holder = NULL WHERE name = ? AND holder = ?', [name, known.holder]);
    else return null;
    if ((await take(db, name, holder, forMs)) === 0) return null;
  }
  const row = await selectRow<{ lease_epoch: number }>(db, 'SELECT lease_epoch FROM relay_lease WHERE name = ? AND holder = ?', [name, holder]);
  return row === undefined ? null : { name, holder, epoch: row.lease_epoch };
}

const take = (db: Queryable, name: string, holder: string, forMs: number): Promise<number> =>
  // The epoch is assigned first: assignments run from left to right and it compares with the holder before.
  execute(db, `UPDATE relay_lease SET lease_epoch = lease_epoch + IF(holder <=> ?, 0, 1), holder = ?, held_until = UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND
    WHERE name = ? AND (holder = ? OR holder IS NULL OR held_until < UTC_TIMESTAMP(3))`, [holder, holder, forMs * 1000, name, holder]);

/** Within a transaction: the lease's row, locked, or undefined when it is no longer ours. */
export const underLease = (tx: Queryable, lease: Lease): Promise<{ last_seq: number | string } | undefined> =>
  selectRow(tx, 'SELECT last_seq FROM relay_lease WHERE name = ? AND holder = ? AND lease_epoch = ? FOR UPDATE', [lease.name, lease.holder, lease.epoch]);

/** Lets the next one in at once. */
export async function releaseLease(db: Queryable, lease: Lease): Promise<void> {
  await execute(db, 'UPDATE relay_lease SET holder = NULL, held_until = UTC_TIMESTAMP(3) WHERE name = ? AND holder = ? AND lease_epoch = ?', [lease.name, lease.holder, lease.epoch]);
}
