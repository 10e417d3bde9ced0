// Rows of liveness. A change is written only if the row still says the opposite, so that replicas tell it once.
import type { EntityManager } from 'typeorm';
import { livenessChanged, type Host, type InputOf, type SortsOf, type Liveness, type listLiveness } from '#contracts';
import { accessFilter, execute, isoAt, isoAtOrNull, pageQuery, selectRow, selectRows, sql, type Queryable, type Who } from '#database';
import { ok, type Result } from '#kernel';
import { emit } from '#tasks';
import type { z } from 'zod';

type LivenessValue = z.output<typeof Liveness>;
interface Row { host_id: string; cluster_id: string; state: LivenessValue['state']; since: Date; last_heartbeat_at: Date | null }
const livenessOf = (row: Row): LivenessValue => ({
  hostId: row.host_id as LivenessValue['hostId'], state: row.state, since: isoAt(row.since), lastHeartbeatAt: isoAtOrNull(row.last_heartbeat_at),
});

export interface Kept extends LivenessValue { readonly clusterId: string }

export async function allLiveness(tx: Queryable): Promise<LivenessValue[]> {
  return (await selectRows<Row>(tx, 'SELECT * FROM liveness')).map(livenessOf);
}

export async function findLiveness(tx: Queryable, hostId: string): Promise<Kept | undefined> {
  const row = await selectRow<Row>(tx, 'SELECT * FROM liveness WHERE host_id = ?', [hostId]);
  return row && { ...livenessOf(row), clusterId: row.cluster_id };
}

/** Begins to watch a host; until it is heard it does not respond. */
export async function watch(tx: EntityManager, host: Host): Promise<void> {
  await execute(tx, `INSERT INTO liveness (host_id, cluster_id, state, since) VALUES (?, ?, 'not-responding', UTC_TIMESTAMP(3)) ON DUPLICATE KEY UPDATE cluster_id = VALUES(cluster_id)`, [host.id, host.clusterId]);
}

export async function unwatch(tx: EntityManager, hostId: string): Promise<void> {
  await execute(tx, 'DELETE FROM liveness WHERE host_id = ?', [hostId]);
}

/** A host that some replica heard so lately is not blamed by another one that did not, seconds by the database's clock. */
const HEARD_BY_ANOTHER_S = 3;

/** True = it was written: nobody else had, and nobody knows better. */
export async function changeLiveness(tx: EntityManager, hostId: string, state: LivenessValue['state']): Promise<boolean> {
  const met = state === 'connected'
    ? await execute(tx, `UPDATE liveness SET state = 'connected', since = UTC_TIMESTAMP(3), last_heartbeat_at = UTC_TIMESTAMP(3)
        WHERE host_id = ? AND state <> 'connected'`, [hostId])
    : await execute(tx, `UPDATE liveness SET state = 'not-responding', since = UTC_TIMESTAMP(3) WHERE host_id = ? AND state <> 'not-responding'
        AND (last_heartbeat_at IS NULL OR last_heartbeat_at < UTC_TIMESTAMP(3) - INTERVAL ? SECOND)`, [hostId, HEARD_BY_ANOTHER_S]);
  if (met === 0) return false;
  const row = await selectRow<Row>(tx, 'SELECT * FROM liveness WHERE host_id = ?', [hostId]);
  if (row) await emit(tx, livenessChanged, { objectId: hostId, data: { liveness: livenessOf(row) } });
  return true;
}

/** Says when hosts were heard: to people, and to replicas that hear less. */
export async function noteHeartbeats(tx: Queryable, hostIds: readonly string[]): Promise<void> {
  if (hostIds.length > 0) await execute(tx, sql`UPDATE liveness SET last_heartbeat_at = UTC_TIMESTAMP(3) WHERE host_id IN (${[...hostIds]})`);
}

export async function pageOfLiveness(tx: Queryable, who: Who, input: InputOf<typeof listLiveness>): Promise<Result<{ items: LivenessValue[]; next: string | null }>> {
  const page = await pageQuery<Row>(tx, {
    select: 'liveness.*', from: 'liveness', orderBy: { hostId: 'liveness.host_id' } satisfies SortsOf<typeof listLiveness>, id: 'liveness.host_id', input,
    where: [accessFilter(who, 'host.read', { id: 'liveness.host_id', clusterId: 'liveness.cluster_id' })],
  });
  return page.ok ? ok({ items: page.value.rows.map(livenessOf), next: page.value.next }) : page;
}
