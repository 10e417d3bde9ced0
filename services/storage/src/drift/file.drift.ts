// The files of datastores, against volumes and uploads. What nobody knows is moved aside and kept; it is deleted when a person says
// so, and only out of quarantine.
import type { DataSource } from 'typeorm';
import type { BusClient } from '#bus';
import { hostFileKeep, hostFilePurge, hostFileRelease, NotFound, WrongState, type DatastoreId, type DriftFinding, type HostId } from '#contracts';
import { selectRow, selectRows, type Queryable } from '#database';
import { FaultError } from '#kernel';
import type { Act, DriftSource, Look } from '#service';
import { surveyDatastore } from '../datastore/datastore.files.ts';
import type { DatastoreHosts } from '../datastore/datastore.hosts.ts';
import { allDatastores } from '../datastore/datastore.store.ts';
import { judgeDatastore, type KnownVolume } from './drift.ts';

type Asking = Pick<BusClient, 'requestHost'>;
const ASK_MS = 20_000;
const asSystem = { as: 'system', timeoutMs: ASK_MS } as const;

export function fileDrift(db: DataSource, bus: Asking, hosts: DatastoreHosts): DriftSource {
  const placeOf = async ({ evidence }: DriftFinding, path = evidence['path']): Promise<{ hostId: HostId; file: { datastoreId: DatastoreId; datastorePath: string; path: string } }> => {
    const datastoreId = String(evidence['datastoreId']) as DatastoreId;
    const row = await selectRow<{ path: string }>(db, 'SELECT path FROM datastore WHERE id = ?', [datastoreId]);
    if (row === undefined) throw new FaultError(NotFound.fault('The datastore is not registered any more.', { noun: 'datastore', id: datastoreId }));
    return { hostId: await hosts.workHost(datastoreId, null), file: { datastoreId, datastorePath: row.path, path: String(path) } };
  };
  const keep: Act = async (finding, commandId) => {
    const { hostId, file } = await placeOf(finding);
    return bus.requestHost(hostId, hostFileKeep, { commandId, ...file, sizeBytes: Number(finding.evidence['sizeBytes']), modifiedMs: Number(finding.evidence['modifiedMs']) }, asSystem);
  };
  return {
    name: 'files',
    look: async (signal) => {
      const looks: Look[] = [];
      for (const { datastore } of await allDatastores(db)) {
        if (signal.aborted) break;
        const look = await compared(db, bus, hosts, datastore);
        if (look !== undefined) looks.push(look);
      }
      return looks;
    },
    keep: { 'file-unknown': keep },
    release: {
      'file-unknown': async (finding, commandId) => {
        const { hostId, file } = await placeOf(finding);
        return bus.requestHost(hostId, hostFileRelease, { commandId, ...file }, asSystem);
      },
    },
    repair: {
      // Through the quarantine: a file that is in use or has changed since does not come so far.
      'file-unknown': async (finding, commandId) => {
        const kept = await keep(finding, `${commandId}/keep`);
        if (!kept.ok) return kept;
        const { hostId, file } = await placeOf(finding);
        return bus.requestHost(hostId, hostFilePurge, { commandId, ...file }, asSystem);
      },
      'file-missing': async (finding, commandId) => {
        const path = finding.evidence['kept'];
        if (typeof path !== 'string') return WrongState.fail('The file is lost to this pool: put it back where it was, or delete the volume.', { state: finding.state, allowed: [] });
        const { hostId, file } = await placeOf(finding, path);
        return bus.requestHost(hostId, hostFileRelease, { commandId, ...file }, asSystem);
      },
    },
  };
}

/** Undefined = no host that sees the datastore answers. Files before rows: a row is there before its file, and goes after it. */
async function compared(db: Queryable, bus: Asking, hosts: DatastoreHosts, { id, path }: { readonly id: DatastoreId; readonly path: string }): Promise<Look | undefined> {
  const hostId = await hosts.workHostIfAny(id);
  if (hostId === undefined) return undefined;
  const told = await surveyDatastore(bus, hostId, { id, path }, asSystem);
  if (!told.ok) return undefined;
  const volumes = await selectRows<{ id: string; name: string; state: string; version: number }>(db, 'SELECT id, name, state, version FROM volume WHERE datastore_id = ?', [id]);
  const uploads = await selectRows<{ id: string }>(db, 'SELECT id FROM upload WHERE datastore_id = ?', [id]);
  const known = volumes.map((row): KnownVolume => ({ id: row.id, name: row.name, ready: row.state === 'ready', version: row.version }));
  return {
    scope: `datastore ${id}`, population: told.value.length + known.length,
    differences: judgeDatastore(id, told.value, known, new Set(uploads.map((upload) => upload.id))),
  };
}
