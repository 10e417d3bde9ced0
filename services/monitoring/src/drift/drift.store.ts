// Rows of the view of findings: what their owners last told. The highest version wins, whatever comes when.
import type { EntityManager } from 'typeorm';
import { openDriftStates, type DriftFinding, type InputOf, type SortsOf, type listDrift } from '#contracts';
import { accessFilter, execute, fromJson, pageQuery, searchFilter, selectRow, sql, toJson, updateOf, type Queryable, type Who } from '#database';
import { ok, type Result } from '#kernel';

interface Row { finding: unknown }
const findingOf = ({ finding }: Row): DriftFinding => fromJson<DriftFinding>(finding);

export async function keepFinding(tx: EntityManager, finding: DriftFinding): Promise<void> {
  const told = {
    state: finding.state, object_name: finding.object.name, first_seen_at: new Date(finding.firstSeenAt), state_since: new Date(finding.stateSince), version: finding.version, finding: toJson(finding),
  };
  const row = { id: finding.id, service: finding.service, kind: finding.kind, host_id: finding.hostId, object_id: finding.object.id, ...told };
  const columns = Object.keys(row);
  if ((await execute(tx, `INSERT IGNORE INTO drift_view (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`, Object.values(row))) === 1) return;
  // One that its owner has forgotten and found again begins anew.
  await execute(tx, updateOf('drift_view', told, sql`id = ${finding.id} AND (version < ${finding.version} OR first_seen_at < ${told.first_seen_at})`));
}

export async function findFinding(tx: Queryable, id: string): Promise<DriftFinding | undefined> {
  const row = await selectRow<Row>(tx, 'SELECT finding FROM drift_view WHERE id = ?', [id]);
  return row && findingOf(row);
}

export async function pageOfFindings(tx: Queryable, who: Who, input: InputOf<typeof listDrift>): Promise<Result<{ items: DriftFinding[]; next: string | null }>> {
  const page = await pageQuery<Row>(tx, {
    select: 'drift_view.finding', from: 'drift_view', id: 'drift_view.id', input, preset: '-firstSeenAt',
    orderBy: { firstSeenAt: 'drift_view.first_seen_at', state: 'drift_view.state', kind: 'drift_view.kind' } satisfies SortsOf<typeof listDrift>,
    where: [
      // What is nobody's is for those who look after the site.
      accessFilter(who, 'drift.read', { id: 'drift_view.id' }),
      input.state === undefined ? null : sql`drift_view.state = ${input.state}`,
      input.open === undefined ? null : input.open ? sql`drift_view.state IN (${openDriftStates})` : sql`drift_view.state NOT IN (${openDriftStates})`,
      input.kind === undefined ? null : sql`drift_view.kind = ${input.kind}`,
      input.service === undefined ? null : sql`drift_view.service = ${input.service}`,
      input.hostId === undefined ? null : sql`drift_view.host_id = ${input.hostId}`,
      searchFilter(input.q, 'drift_view.object_id', 'drift_view.object_name'),
    ],
  });
  return page.ok ? ok({ items: page.value.rows.map(findingOf), next: page.value.next }) : page;
}

const KEEP_CLOSED_DAYS = 30;
/** Those that are closed, as their owners do. */
export const purgeView = (tx: Queryable, limit: number): Promise<number> =>
  execute(tx, `DELETE FROM drift_view WHERE state IN ('repaired', 'cleared') AND state_since < UTC_TIMESTAMP(3) - INTERVAL ${KEEP_CLOSED_DAYS} DAY ORDER BY state_since LIMIT ?`, [limit]);
