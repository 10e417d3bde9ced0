// Rows of findings. A change is one transaction with its event, and is made only of the row as it was read: who was faster has
// decided.
import type { EntityManager } from 'typeorm';
import { driftChanged, rowOfDrift, type Difference, type DriftFinding, type DriftKind, type DriftService, type DriftState } from '#contracts';
import type { BusContext } from '#bus';
import { execute, fromJson, isoAt, isoAtOrNull, selectRow, selectRows, sql, toJson, type ColumnValue, type Queryable } from '#database';
import { bodyHash, idFrom } from '#kernel';
import { emit, emitFacts } from '#tasks';

export interface FindingRow {
  id: string; kind: DriftKind; scope: string; state: DriftState; object_id: string; object_name: string | null; host_id: string | null; text: string; reason: string | null;
  evidence: unknown; evidence_hash: string; kept: number; looks: number; repairs: number; begun_at: Date | null; repaired_at: Date | null;
  first_seen_at: Date; last_seen_at: Date; state_since: Date; expires_at: Date | null; version: number;
}

export const findingOf = (service: DriftService, row: FindingRow): DriftFinding => {
  const { noun, repair, final = false } = rowOfDrift(row.kind);
  return {
    id: row.id as DriftFinding['id'], service, kind: row.kind, state: row.state, object: { noun, id: row.object_id, name: row.object_name }, hostId: row.host_id as DriftFinding['hostId'],
    text: row.text, would: repair ?? 'nothing: a person decides', reason: row.reason, final, evidence: fromJson(row.evidence), looks: row.looks, repairs: row.repairs,
    firstSeenAt: isoAt(row.first_seen_at), lastSeenAt: isoAt(row.last_seen_at), stateSince: isoAt(row.state_since), expiresAt: isoAtOrNull(row.expires_at), version: row.version,
  };
};

/** The same for the same difference, whoever sees it and when. */
export const findingId = (service: string, scope: string, { kind, objectId }: Pick<Difference, 'kind' | 'objectId'>): string => idFrom(['drift', service, scope, kind, objectId].join('\n'));
export const hashOf = (evidence: Difference['evidence']): string => bodyHash(evidence);

export const findRow = (tx: Queryable, id: string): Promise<FindingRow | undefined> => selectRow(tx, 'SELECT * FROM drift_finding WHERE id = ?', [id]);
export const rowsOfScope = (tx: Queryable, scope: string): Promise<FindingRow[]> => selectRows(tx, 'SELECT * FROM drift_finding WHERE scope = ?', [scope]);

/** Makes the finding certain, new or again. */
export async function openFinding(tx: EntityManager, service: DriftService, scope: string, seen: Difference): Promise<void> {
  const id = findingId(service, scope, seen);
  const told = { text: seen.text.slice(0, 1000), object_name: seen.objectName?.slice(0, 255) ?? null, evidence: toJson(seen.evidence), evidence_hash: hashOf(seen.evidence), kept: seen.kept === true };
  const names = Object.keys(told);
  await execute(tx, `INSERT INTO drift_finding (id, kind, scope, state, object_id, host_id, first_seen_at, last_seen_at, state_since, ${names.join(', ')})
    VALUES (?, ?, ?, 'found', ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), ${names.map(() => '?').join(', ')})
    ON DUPLICATE KEY UPDATE ${names.map((name) => `${name} = VALUES(${name})`).join(', ')}, first_seen_at = IF(state IN ('repaired', 'cleared'), VALUES(first_seen_at), first_seen_at),
      state = 'found', reason = NULL, begun_at = NULL, expires_at = NULL, last_seen_at = VALUES(last_seen_at), state_since = VALUES(state_since), looks = looks + 2, version = version + 1`,
  [id, seen.kind, scope, seen.objectId.slice(0, 255), seen.hostId ?? null, ...Object.values(told)]);
  await tell(tx, service, id);
}

/** Seen again as it was: nobody is told. */
export const touchFindings = (tx: Queryable, ids: readonly string[]): Promise<number> =>
  (ids.length === 0 ? Promise.resolve(0) : execute(tx, sql`UPDATE drift_finding SET last_seen_at = UTC_TIMESTAMP(3), looks = looks + 1 WHERE id IN (${[...ids]})`));

export interface FindingChange {
  readonly state?: DriftState;
  readonly reason?: string | null;
  readonly kept?: boolean;
  /** Days until it is asked about again. */
  readonly keepDays?: number;
  readonly begun?: boolean;
  /** Nothing that anybody has to be told. */
  readonly quietly?: boolean;
  /** Counts a repair that has worked. */
  readonly repaired?: boolean;
}

/** Undefined = the row is another by now. */
export async function changeFinding(tx: EntityManager, service: DriftService, row: Pick<FindingRow, 'id' | 'version'>, change: FindingChange, ctx?: Pick<BusContext, 'actor' | 'traceId'>): Promise<FindingRow | undefined> {
  const set: [string, ...ColumnValue[]][] = [];
  if (change.state !== undefined) set.push(['state_since = IF(state = ?, state_since, UTC_TIMESTAMP(3)), state = ?', change.state, change.state]);
  if (change.reason !== undefined) set.push(['reason = ?', change.reason?.slice(0, 1000) ?? null]);
  if (change.kept !== undefined) set.push(['kept = ?', change.kept]);
  if (change.keepDays !== undefined) set.push(['expires_at = UTC_TIMESTAMP(3) + INTERVAL ? DAY', change.keepDays]);
  if (change.begun !== undefined) set.push([change.begun ? 'begun_at = UTC_TIMESTAMP(3)' : 'begun_at = NULL']);
  // Counted by the hour: an old repair says nothing about a new difference.
  if (change.repaired === true) set.push(['repairs = IF(repaired_at > UTC_TIMESTAMP(3) - INTERVAL 1 HOUR, repairs, 0) + 1, repaired_at = UTC_TIMESTAMP(3)']);
  const met = await execute(tx, `UPDATE drift_finding SET ${[...set.map(([text]) => text), 'version = version + 1'].join(', ')} WHERE id = ? AND version = ?`, [...set.flatMap(([, ...values]) => values), row.id, row.version]);
  if (met === 0) return undefined;
  if (change.quietly !== true) await tell(tx, service, row.id, ctx);
  return findRow(tx, row.id);
}

async function tell(tx: EntityManager, service: DriftService, id: string, ctx?: Pick<BusContext, 'actor' | 'traceId'>): Promise<void> {
  const row = await findRow(tx, id);
  if (row !== undefined) await emit(tx, driftChanged(service), { objectId: id, data: { finding: findingOf(service, row) }, ...(ctx === undefined ? {} : { ctx }) });
}

/** What the service has put right or moved by itself, for the audit log. */
export const auditRepair = (tx: EntityManager, service: DriftService, id: string, verb: 'repair' | 'keep'): Promise<void> =>
  emitFacts(tx, service, {
    operation: `${service}.drift.${verb}`, door: 'service', actor: null, claimed: null, service, address: null, object: { noun: 'drift', id }, outcome: 'done', code: null, taskId: null, traceId: null, times: 1, since: null,
  });

/** Objects of these that an open task works on, or one that has ended since. */
export async function touchedSince(tx: Queryable, ids: readonly string[], since: Date): Promise<Set<string>> {
  if (ids.length === 0) return new Set();
  const rows = await selectRows<{ id: string }>(tx, sql`SELECT DISTINCT object_id AS id FROM task WHERE object_id IN (${[...ids]}) AND (ended_at IS NULL OR ended_at >= ${since})`);
  return new Set(rows.map(({ id }) => id));
}

const KEEP_CLOSED_DAYS = 30;
export const purgeFindings = (tx: Queryable): Promise<number> =>
  execute(tx, `DELETE FROM drift_finding WHERE state IN ('repaired', 'cleared') AND state_since < UTC_TIMESTAMP(3) - INTERVAL ${KEEP_CLOSED_DAYS} DAY ORDER BY state_since LIMIT 500`);
