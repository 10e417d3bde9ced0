// What storage keeps of compute's hosts: whether each is connected. A copy, fed by events and put right by asking.
import type { EntityManager } from 'typeorm';
import type { Host } from '#contracts';
import { execute } from '#database';
import type { Queryable } from '#database';

/** Keeps the newest of what was heard, in whatever order it arrives. Answers whether the host's state is another now. */
export async function recordHost(tx: Queryable, host: Pick<Host, 'id' | 'state' | 'version'>): Promise<boolean> {
  const changed = await execute(tx, 'UPDATE host SET state = ?, host_version = ? WHERE id = ? AND host_version <= ? AND state <> ?', [host.state, host.version, host.id, host.version, host.state]);
  if (changed > 0) return true;
  const added = await execute(tx, 'INSERT INTO host (id, state, host_version) VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE host_version = GREATEST(host_version, VALUES(host_version))', [host.id, host.state, host.version]);
  // The server counts 1 for a row that was added, 2 for one that was changed.
  return added === 1;
}

/** The host has left the pool; a shared datastore goes on without it, a local one stays as something nobody sees. */
export async function forgetHost(tx: EntityManager, hostId: string): Promise<void> {
  await execute(tx, 'DELETE FROM host WHERE id = ?', [hostId]);
  await execute(tx, "UPDATE datastore_host SET seen = 0, reason = 'the host was removed from the pool' WHERE host_id = ?", [hostId]);
}
