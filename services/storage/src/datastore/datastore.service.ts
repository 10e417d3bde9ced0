// Registering datastores, asking hosts about them, and choosing one for new volumes.
import { Inject, Injectable } from '@nestjs/common';
import type { DataSource, EntityManager } from 'typeorm';
import type { BusClient, BusContext } from '#bus';
import { createDatastore, datastoreChanged, datastoreDeleted, deleteDatastore, getHost, hostDatastoreProbe, InUse, InvalidArgument, PermissionDenied, WrongState } from '#contracts';
import type { chooseDatastore as chooseContract, Datastore, DatastoreId, HostId, InputOf, listDatastores, ReplyOf } from '#contracts';
import { allowed, mayAccess, transaction, whoOf } from '#database';
import { FaultError, newUuid, ok, orThrow } from '#kernel';
import type { Result } from '#kernel';
import { Bus, Db } from '#service';
import { emit, runCommand } from '#tasks';
import { recordHost } from '../host/host.store.ts';
import { holdsVolumes } from './datastore.files.ts';
import { chooseDatastore, identify, isConnected, sameDirectory } from './datastore.ts';
import type { HostView } from './datastore.ts';
import {
  allDatastores, datastoreIdsOfHost, deleteDatastoreRow, findDatastore, insertDatastore, isRegistered, listDatastores as listRows, lockDatastore, recordCapacity, recordSight, residents, toCandidate,
} from './datastore.store.ts';
import type { DatastoreFilter, StoredDatastore } from './datastore.store.ts';

type Probe = ReplyOf<typeof hostDatastoreProbe>;

@Injectable()
export class DatastoreService {
  constructor(@Inject(Db) private readonly db: DataSource, @Inject(Bus) private readonly bus: BusClient) {}

  /**
   * The hosts are asked within the command's transaction, so that the same key sent twice asks once. A death in between
   * leaves a marker without a datastore; the next registration of that directory takes the marker's id.
   */
  create(input: InputOf<typeof createDatastore>, ctx: BusContext): Promise<Result<Datastore>> {
    return runCommand(this.db, { ctx, operation: createDatastore, input }, async (tx) => {
      if (!mayAccess(whoOf(ctx), 'datastore.write', {})) throw new FaultError(PermissionDenied.fault('You lack the right datastore.write on the site.', { permission: 'datastore.write' }));
      const { id, probe } = await this.survey(tx, input, ctx);
      await this.hearOf(tx, input.hostIds, ctx);
      await insertDatastore(tx, { id, name: input.name, description: input.description, scope: input.scope, path: input.path, totalBytes: probe.totalBytes, freeBytes: probe.freeBytes, hostIds: input.hostIds });
      return this.announce(tx, id, ctx);
    });
  }

  delete(input: InputOf<typeof deleteDatastore>, ctx: BusContext): Promise<Result<ReplyOf<typeof deleteDatastore>>> {
    return runCommand(this.db, { ctx, operation: deleteDatastore, input }, async (tx) => {
      await lockDatastore(tx, input.datastoreId);
      const store = await findDatastore(tx, input.datastoreId);
      orThrow(allowed(whoOf(ctx), 'datastore.write', store?.datastore, { noun: 'datastore', id: input.datastoreId, read: 'datastore.read' }));
      const by = await residents(tx, input.datastoreId);
      if (by.length > 0) throw new FaultError(InUse.fault('Volumes or uploads lie on the datastore.', { by }));
      await deleteDatastoreRow(tx, input.datastoreId);
      await emit(tx, datastoreDeleted, { objectId: input.datastoreId, ctx, data: { datastoreId: input.datastoreId } });
      return {};
    });
  }

  list(input: DatastoreFilter, ctx: BusContext): Promise<Result<ReplyOf<typeof listDatastores>>> {
    return listRows(this.db, whoOf(ctx), input);
  }

  async get(datastoreId: DatastoreId, ctx: BusContext): Promise<Result<Datastore>> {
    const store = await findDatastore(this.db, datastoreId);
    return allowed(whoOf(ctx), 'datastore.read', store?.datastore, { noun: 'datastore', id: datastoreId, read: 'datastore.read' });
  }

  async choose(input: InputOf<typeof chooseContract>): Promise<Result<ReplyOf<typeof chooseContract>>> {
    const stores = await allDatastores(this.db);
    const chosen = chooseDatastore(stores.map(toCandidate), input);
    const store = chosen.ok ? stores.find(({ datastore }) => datastore.id === chosen.value.datastoreId) : undefined;
    return chosen.ok && store !== undefined ? ok({ ...chosen.value, name: store.datastore.name }) : chosen;
  }

  /** Asks hosts again what they see, and how much room there is. */
  async refresh(datastoreIds?: readonly DatastoreId[]): Promise<void> {
    const wanted = datastoreIds && new Set<string>(datastoreIds);
    const stores = (await allDatastores(this.db)).filter((store) => wanted?.has(store.datastore.id) ?? true);
    await Promise.all(stores.map((store) => this.look(store)));
  }

  async refreshHost(hostId: HostId): Promise<void> {
    await this.refresh(await datastoreIdsOfHost(this.db, hostId));
  }

  /** A host's state is another: what its datastores show about it has changed with it. */
  async announceHost(tx: EntityManager, hostId: HostId): Promise<void> {
    for (const id of await datastoreIdsOfHost(tx, hostId)) await this.announce(tx, id);
  }

  private async look(store: StoredDatastore): Promise<void> {
    const { id, path } = store.datastore;
    const answers = await Promise.all(store.hosts.filter(isReachable).map(async (host) => ({ hostId: host.hostId, answer: await this.probe(host.hostId, id, path, false) })));
    await transaction(this.db, async (tx) => {
      let news = false;
      for (const { hostId, answer } of answers) {
        // A host that does not answer is compute's news, not the directory's.
        if (!answer.ok && answer.fault.code !== 'HOST_COMMAND_FAILED') continue;
        const fault = answer.ok ? sameDirectory(hostId, answer.value.marker, id) : answer.fault;
        news = (await recordSight(tx, id, hostId, fault === undefined, fault?.detail ?? null)) || news;
        if (answer.ok && fault === undefined) news = (await recordCapacity(tx, id, answer.value)) || news;
      }
      if (news) await this.announce(tx, id);
    });
  }

  private async survey(tx: EntityManager, input: InputOf<typeof createDatastore>, ctx: BusContext): Promise<{ id: DatastoreId; probe: Probe }> {
    const [first, ...others] = input.hostIds;
    if (first === undefined || new Set(input.hostIds).size !== input.hostIds.length) {
      throw new FaultError(InvalidArgument.fault('hostIds: each host once.', { issues: [{ path: 'hostIds', message: 'each host once' }] }));
    }
    const fresh = newUuid() as DatastoreId;
    const found = await this.mustProbe(first, fresh, input.path, false, ctx);
    const hasVolumes = found.marker !== null && orThrow(await holdsVolumes(this.bus, first, input.path, { ctx, as: 'system' }));
    const identity = orThrow(identify(found.marker, { registered: found.marker !== null && (await isRegistered(tx, found.marker)), hasVolumes }));
    const id = identity.kind === 'ours' ? identity.id : fresh;
    const probe = identity.kind === 'ours' ? found : await this.mustProbe(first, id, input.path, true, ctx);
    for (const host of [first, ...others]) {
      const seen = host === first ? probe : await this.mustProbe(host, id, input.path, false, ctx);
      const fault = sameDirectory(host, seen.marker, id);
      if (fault !== undefined) throw new FaultError(fault);
    }
    return { id, probe };
  }

  /** Hosts that are seconds old: what is still to be heard of their beginning would hide for a moment that they are connected. */
  private async hearOf(tx: EntityManager, hostIds: readonly HostId[], ctx: BusContext): Promise<void> {
    for (const hostId of hostIds) {
      const host = await this.bus.request(getHost, { hostId }, { ctx, as: 'system', timeoutMs: 1_000 });
      if (!host.ok) return; // compute's events will tell
      if (await recordHost(tx, host.value)) await this.announceHost(tx, hostId);
    }
  }

  private async mustProbe(hostId: HostId, id: DatastoreId, path: string, initialise: boolean, ctx: BusContext): Promise<Probe> {
    const answer = await this.probe(hostId, id, path, initialise, ctx);
    if (answer.ok) return answer.value;
    if (answer.fault.code !== 'HOST_COMMAND_FAILED') throw new FaultError(answer.fault);
    throw new FaultError(WrongState.fault(`Host ${hostId} cannot use the directory: ${answer.fault.detail}`, { state: 'unusable', allowed: ['usable'] }));
  }

  private probe(hostId: HostId, datastoreId: DatastoreId, path: string, initialise: boolean, ctx?: BusContext): Promise<Result<Probe>> {
    return this.bus.requestHost(hostId, hostDatastoreProbe, { datastoreId, path, initialise }, { ...(ctx ? { ctx } : {}), as: 'system', timeoutMs: 8_000 });
  }

  private async announce(tx: EntityManager, id: DatastoreId, ctx?: BusContext): Promise<Datastore> {
    const store = await findDatastore(tx, id);
    if (store === undefined) throw new Error('a datastore vanished inside of a transaction');
    await emit(tx, datastoreChanged, { objectId: id, ...(ctx ? { ctx } : {}), data: { datastore: store.datastore } });
    return store.datastore;
  }
}

/** Worth asking, also when it did not see the directory the last time. */
const isReachable = (host: HostView): boolean => isConnected({ ...host, seen: true });
