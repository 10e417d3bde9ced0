// What volumes take on their datastores, read from their files: they grow as their VMs write. It is how much there is, as free space
// is, and no change of the volume: neither its version nor an event tells of it.
import type { DataSource } from 'typeorm';
import type { BusClient, BusLog } from '#bus';
import type { Reconciler } from '#service';
import { scanDatastore } from '../datastore/datastore.files.ts';
import type { DatastoreHosts } from '../datastore/datastore.hosts.ts';
import { allDatastores } from '../datastore/datastore.store.ts';
import { recordAllocations } from './volume.store.ts';

const ASK_MS = 20_000;

export const allocationReconciler = (db: DataSource, bus: Pick<BusClient, 'requestHost'>, hosts: DatastoreHosts, log: Pick<BusLog, 'warn'>): Reconciler => ({
  name: 'volume-allocation',
  everyMs: 60_000,
  run: async (signal) => {
    for (const { datastore: { id, path } } of await allDatastores(db)) {
      if (signal.aborted) return;
      const hostId = await hosts.workHostIfAny(id);
      if (hostId === undefined) continue;
      const found = await scanDatastore(bus, hostId, path, { as: 'system', timeoutMs: ASK_MS });
      if (!found.ok) log.warn({ datastoreId: id, hostId, fault: found.fault.code }, 'what the volumes of a datastore take could not be read');
      else await recordAllocations(db, id, new Map(found.value.map(({ volumeId, allocatedBytes }) => [volumeId, allocatedBytes])));
    }
  },
});
