// What network keeps of compute's hosts: whether each is connected, and which start of its agent was last heard of.
import type { EntityManager } from 'typeorm';
import type { Host, HostId, ReportOrder } from '#contracts';
import { execute, selectRows } from '#database';
import type { Queryable } from '#database';

/** Keeps the newest of what was heard, in whatever order it arrives. Answers whether the host's state is another now. */
export async function recordHost(tx: Queryable, host: Pick<Host, 'id' | 'state' | 'version'>): Promise<boolean> {
  const changed = await execute(tx, 'UPDATE host SET state = ?, host_version = ? WHERE id = ? AND host_version <= ? AND state <> ?', [host.state, host.version, host.id, host.version, host.state]);
  if (changed > 0) return true;
  const added = await execute(tx, 'INSERT INTO host (id, state, host_version) VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE host_version = GREATEST(host_version, VALUES(host_version))', [host.id, host.state, host.version]);
  // The server counts 1 for a row that was added, 2 for one that was changed.
  return added === 1;
}

/** Answers whether this start of the host's agent is news. */
export async function recordJoin(tx: EntityManager, hostId: string, order: ReportOrder): Promise<boolean> {
  const joined = `${order.bootId}/${order.epoch}`.slice(0, 200);
  return (await execute(tx, 'UPDATE host SET joined = ? WHERE id = ? AND NOT (joined <=> ?)', [joined, hostId, joined])) > 0;
}

/** Those that answer. */
export const connectedHostIds = async (tx: Queryable): Promise<HostId[]> =>
  (await selectRows<{ id: HostId }>(tx, "SELECT id FROM host WHERE state = 'connected' ORDER BY id")).map(({ id }) => id);

export const forgetHost = (tx: EntityManager, hostId: string): Promise<number> => execute(tx, 'DELETE FROM host WHERE id = ?', [hostId]);

/** The hosts of the list that compute has never spoken of. */
export async function unknownHosts<Id extends string>(tx: Queryable, hostIds: readonly Id[]): Promise<Id[]> {
  const known = new Set<string>((await selectRows<{ id: string }>(tx, 'SELECT id FROM host')).map(({ id }) => id));
  return hostIds.filter((id) => !known.has(id));
}
