// Removes what the log keeps no longer, and says so in the log. Killed anywhere it goes on where it was: what is removed and
// the base that takes its place are one transaction.
import type { DataSource } from 'typeorm';
import { transaction } from '#database';
import type { Reconciler } from '#service';
import { emitFacts } from '#tasks';
import type { MasterKey } from '../keys/seal.ts';
import { pruneAudit } from './audit.store.ts';

const rowsAtOnce = 2_000;

export const auditReconciler = (db: DataSource, master: MasterKey, keepDays: number): Reconciler => ({
  name: 'audit-retention',
  everyMs: 600_000,
  run: async (signal) => {
    for (let more = keepDays > 0; more && !signal.aborted;) more = await pruneOnce(db, master, keepDays);
  },
});

const pruneOnce = (db: DataSource, master: MasterKey, keepDays: number): Promise<boolean> => transaction(db, async (tx) => {
  const pruned = await pruneAudit(tx, master, keepDays, rowsAtOnce);
  if (pruned === undefined) return false;
  await emitFacts(tx, 'auth', {
    operation: 'auth.audit.prune', door: 'service', actor: null, claimed: null, service: 'auth', address: null, object: { noun: 'audit', id: `${pruned.from}-${pruned.to}` },
    outcome: 'done', code: null, taskId: null, traceId: null, times: 1, since: null,
  });
  return pruned.to - pruned.from + 1 === rowsAtOnce;
});
