// What may be done with volumes, and the tasks that do it. Each decision and the start of its task are one transaction.
import { Inject, Injectable } from '@nestjs/common';
import type { DataSource, EntityManager } from 'typeorm';
import { checked, decided, type BusClient, type BusContext } from '#bus';
import {
  copyVolume, createVolume, deleteVolume, discardImageVolume, discardVolume, ingestVolume, keepVolume, listVolumes, NotFound, PermissionDenied, provisionVolume, updateVolume, VersionConflict, volumeChanged, WrongState,
} from '#contracts';
import type { BodyOf, DatastoreId, HostId, hostVolumeProgress, InputOf, Operation, placesOfVolumes, ReplyOf, TaskRef, Volume, VolumeId } from '#contracts';
import { allowed, gathered, mayAccess, whoOf } from '#database';
import type { Who } from '#database';
import { FaultError, newUuid, ok, orThrow, sizeText } from '#kernel';
import type { Fault, Result } from '#kernel';
import { Bus, Db, foldersMeant, folderStands, Tasks } from '#service';
import { emit, runCommand } from '#tasks';
import type { TaskEngine } from '#tasks';
import { seeingBoth, seesIt, workHost } from '../datastore/datastore.ts';
import { findDatastore, hostsOf } from '../datastore/datastore.store.ts';
import type { StoredDatastore } from '../datastore/datastore.store.ts';
import { findUpload } from '../upload/upload.store.ts';
import { VolumeTasks } from './volume.tasks.ts';
import { copyRefusal, deleteRefusal, neededBytes, placeOf, roundedSize, spaceFault, volumeView } from './volume.ts';
import type { CopyMode, StoredVolume } from './volume.ts';
import { changeWords, findVolume, findVolumes, insertVolume, listVolumes as listRows, lockVolume, markState, required, setFree, usersOf } from './volume.store.ts';
import type { VolumeFilter } from './volume.store.ts';

type Replied<O extends Operation> = Promise<Result<ReplyOf<O>>>;

/** A volume to make, as users' and services' requests both end up. */
interface Making {
  readonly volumeId: VolumeId;
  readonly name: string;
  readonly store: StoredDatastore;
  readonly sizeBytes: number;
  readonly source: { readonly volume: StoredVolume; readonly mode: CopyMode } | null;
  readonly format?: Volume['format'];
  readonly hostId: HostId | null;
  readonly attachedTo: string | null;
  readonly ownerId: string | null;
  readonly folderId: string | null;
}

@Injectable()
export class VolumeService {
  private readonly find = gathered((ids) => findVolumes(this.db, ids));

  constructor(@Inject(Db) private readonly db: DataSource, @Inject(Bus) private readonly bus: BusClient, @Inject(Tasks) private readonly tasks: TaskEngine, @Inject(VolumeTasks) private readonly kinds: VolumeTasks) {}

  create(input: InputOf<typeof createVolume>, ctx: BusContext): Replied<typeof createVolume> {
    return runCommand(this.db, { ctx, operation: createVolume, input }, async (tx) => {
      const store = await this.readableStore(tx, whoOf(ctx), input.datastoreId);
      mayMake(whoOf(ctx), input.folderId, store);
      orThrow(await folderStands(this.bus, input.folderId));
      return this.make(tx, ctx, { ...input, volumeId: newVolumeId(), store, source: null, hostId: null, attachedTo: null, ownerId: ctx.actor?.userId ?? null });
    });
  }

  copy(input: InputOf<typeof copyVolume>, ctx: BusContext): Replied<typeof copyVolume> {
    return runCommand(this.db, { ctx, operation: copyVolume, input }, async (tx) => {
      const who = whoOf(ctx);
      const source = orThrow(allowed(who, 'volume.read', await lockVolume(tx, input.volumeId, 'share'), { noun: 'volume', id: input.volumeId, read: 'volume.read' }));
      const store = await this.readableStore(tx, who, input.datastoreId ?? source.datastoreId);
      mayMake(who, input.folderId, store);
      orThrow(await folderStands(this.bus, input.folderId));
      return this.make(tx, ctx, {
        volumeId: newVolumeId(), name: input.name, store, sizeBytes: input.sizeBytes ?? source.sizeBytes, source: { volume: source, mode: input.mode },
        hostId: null, attachedTo: null, ownerId: ctx.actor?.userId ?? null, folderId: input.folderId,
      });
    });
  }

  provision(input: InputOf<typeof provisionVolume>, ctx: BusContext): Replied<typeof provisionVolume> {
    return runCommand(this.db, { ctx, operation: provisionVolume, input }, async (tx) => {
      const made = await findVolume(tx, input.volumeId);
      if (made?.taskId) return { taskId: made.taskId as TaskRef['taskId'], objectId: made.id };
      const store = await this.store(tx, input.datastoreId);
      const source = input.source === null ? null : { volume: await this.locked(tx, input.source.volumeId), mode: input.source.mode };
      return this.make(tx, ctx, { ...input, store, source, attachedTo: input.vmId });
    });
  }

  ingest(input: InputOf<typeof ingestVolume>, ctx: BusContext): Replied<typeof ingestVolume> {
    return runCommand(this.db, { ctx, operation: ingestVolume, input }, async (tx) => {
      const upload = await findUpload(tx, input.uploadId);
      if (upload === undefined) throw new FaultError(NotFound.fault('There is no such upload; it may have ended unused.', { noun: 'upload', id: input.uploadId }));
      const store = await this.store(tx, upload.datastoreId);
      refuse(spaceFault(store.datastore.id, store.availableBytes, input.sizeBytes));
      const hostId = orThrow(workHost(store.hosts, upload.hostId));
      const place = placeOf({ id: input.volumeId, datastoreId: store.datastore.id, datastorePath: store.datastore.path, use: 'image', format: 'qcow2' });
      const { volumeId, uploadId, format, sizeBytes, sha256 } = input;
      const ref = await this.tasks.start(tx, this.kinds.ingest, {
        objectId: volumeId, objectName: input.name, ctx, ownerId: input.ownerId, lock: [{ noun: 'upload', id: uploadId }, { noun: 'volume', id: volumeId }],
        input: { volumeId, hostId, place, uploadId, format, sizeBytes, sha256, maxVirtualBytes: store.datastore.totalBytes },
      });
      await this.insert(tx, ctx, ref, {
        id: volumeId, name: input.name, datastoreId: store.datastore.id, use: 'image', format: 'qcow2', sizeBytes: roundedSize(sizeBytes), readOnly: true, parentId: null, copiedFrom: null,
        claimedBytes: sizeBytes, attachedTo: null, ownerId: input.ownerId, folderId: input.folderId,
      });
      return ref;
    });
  }

  delete(input: InputOf<typeof deleteVolume>, ctx: BusContext): Replied<typeof deleteVolume> {
    return runCommand(this.db, { ctx, operation: deleteVolume, input }, async (tx) => {
      const volume = orThrow(allowed(whoOf(ctx), 'volume.delete', await lockVolume(tx, input.volumeId, 'update'), { noun: 'volume', id: input.volumeId, read: 'volume.read' }));
      // An image's volume is the image's business: it is deleted with the image, by the service that knows who needs it.
      if (volume.use === 'image' && !ctx.system) throw new FaultError(WrongState.fault('This is the volume of an image; delete the image.', { state: 'image', allowed: ['disk'] }));
      return this.remove(tx, ctx, volume, null);
    });
  }

  update(input: InputOf<typeof updateVolume>, ctx: BusContext): Replied<typeof updateVolume> {
    return runCommand(this.db, { ctx, operation: updateVolume, input }, async (tx) => {
      const who = whoOf(ctx);
      const volume = orThrow(allowed(who, 'volume.modify', await lockVolume(tx, input.volumeId, 'update'), { noun: 'volume', id: input.volumeId, read: 'volume.read' }));
      if (input.version !== undefined && input.version !== volume.version) throw new FaultError(VersionConflict.fault('The volume was changed meanwhile.', { expected: input.version, actual: volume.version }));
      const folderId = input.folderId === undefined ? volume.folderId : input.folderId;
      // A move is a deletion here and a creation there.
      if (folderId !== volume.folderId && !(mayAccess(who, 'volume.delete', volume) && mayAccess(who, 'volume.create', { folderId }))) {
        throw new FaultError(PermissionDenied.fault('A move needs volume.delete on the volume and volume.create in the folder.', { permission: 'volume.create' }));
      }
      if (folderId !== volume.folderId) orThrow(await folderStands(this.bus, folderId));
      await changeWords(tx, volume, { name: input.name ?? volume.name, description: input.description ?? volume.description, labels: input.labels ?? volume.labels, folderId });
      return this.changed(tx, ctx, volume.id);
    });
  }

  keep(input: InputOf<typeof keepVolume>, ctx: BusContext): Replied<typeof keepVolume> {
    return runCommand(this.db, { ctx, operation: keepVolume, input }, async (tx) => {
      const met = await setFree(tx, input.volumeId, input.vmId, input.name);
      if (met > 0) await this.changed(tx, ctx, input.volumeId);
      return {};
    });
  }

  discard(input: InputOf<typeof discardVolume>, ctx: BusContext): Replied<typeof discardVolume> {
    return runCommand(this.db, { ctx, operation: discardVolume, input }, (tx) => this.removeIfThere(tx, ctx, input.volumeId, input.vmId));
  }

  discardImage(input: InputOf<typeof discardImageVolume>, ctx: BusContext): Replied<typeof discardImageVolume> {
    return runCommand(this.db, { ctx, operation: discardImageVolume, input }, (tx) => this.removeIfThere(tx, ctx, input.volumeId, null));
  }

  async list(input: VolumeFilter, ctx: BusContext): Replied<typeof listVolumes> {
    const folders = await foldersMeant(this.bus, input);
    return folders.ok ? listRows(this.db, whoOf(ctx), { ...input, folderIds: folders.value }) : folders;
  }

  async get(volumeId: VolumeId, ctx: BusContext): Promise<Result<Volume>> {
    const volume = allowed(whoOf(ctx), 'volume.read', await this.find(volumeId), { noun: 'volume', id: volumeId, read: 'volume.read' });
    return volume.ok ? ok(volumeView(volume.value)) : volume;
  }

  showProgress({ commandId, doneBytes, totalBytes }: BodyOf<typeof hostVolumeProgress>): Promise<void> {
    return this.tasks.reportProgress(commandId, { done: doneBytes, total: totalBytes, unit: 'bytes' });
  }

  private async changed(tx: EntityManager, ctx: BusContext, volumeId: VolumeId): Promise<Volume> {
    const volume = volumeView(await required(tx, volumeId));
    await emit(tx, volumeChanged, { objectId: volumeId, ctx, data: { volume } });
    return volume;
  }

  /** In the order asked for. */
  async places({ volumeIds }: InputOf<typeof placesOfVolumes>): Replied<typeof placesOfVolumes> {
    const found = new Map((await findVolumes(this.db, volumeIds)).map((volume) => [volume.id, volume]));
    const missing = volumeIds.find((id) => !found.has(id));
    if (missing !== undefined) return NotFound.fail('There is no volume with this id.', { noun: 'volume', id: missing });
    const hosts = await hostsOf(this.db, [...new Set([...found.values()].map((volume) => volume.datastoreId))]);
    return ok({
      places: volumeIds.flatMap((id) => found.get(id) ?? []).map((volume) => ({
        place: placeOf(volume), hostIds: (hosts.get(volume.datastoreId) ?? []).filter(seesIt).map((host) => host.hostId),
      })),
    });
  }

  private async make(tx: EntityManager, ctx: BusContext, making: Making): Promise<TaskRef> {
    const { volumeId, name, store, sizeBytes, source, attachedTo, ownerId, folderId, format = 'qcow2' } = making;
    const datastoreId = store.datastore.id;
    if (source !== null) refuse(copyRefusal(source.volume, source.mode, { datastoreId, sizeBytes }));
    refuse(spaceFault(datastoreId, store.availableBytes, neededBytes(source?.mode ?? 'blank', sizeBytes)));
    const hostId = orThrow(workHost(await this.hostsFor(tx, store, source?.volume), making.hostId));
    checked(ctx, `The datastore "${store.datastore.name}" has room for it.`);
    decided(ctx, `the volume "${name}" of ${sizeText(sizeBytes)} ${source === null ? 'is made empty' : source.mode === 'full' ? `is a full copy of "${source.volume.name}"` : `lies over "${source.volume.name}" as a linked clone`} on the datastore "${store.datastore.name}"`, { datastoreId, sizeBytes, mode: source?.mode ?? 'blank' });
    const place = placeOf({ id: volumeId, datastoreId, datastorePath: store.datastore.path, use: 'disk', format });
    const full = source?.mode === 'full';
    const ref = await this.tasks.start(tx, full ? this.kinds.copy : this.kinds.create, {
      objectId: volumeId, objectName: name, ctx, ownerId, lock: [{ noun: 'volume', id: volumeId }],
      input: { volumeId, hostId, place, sizeBytes, source: source && placeOf(source.volume) },
    });
    await this.insert(tx, ctx, ref, {
      id: volumeId, name, datastoreId, use: 'disk', format, sizeBytes, readOnly: false, parentId: full ? null : (source?.volume.id ?? null), copiedFrom: full ? source.volume.id : null,
      claimedBytes: full ? source.volume.allocatedBytes : 0, attachedTo, ownerId, folderId,
    });
    return ref;
  }

  private async hostsFor(tx: EntityManager, store: StoredDatastore, source: StoredVolume | undefined): Promise<StoredDatastore['hosts']> {
    if (source === undefined || source.datastoreId === store.datastore.id) return store.hosts;
    return seeingBoth(store.hosts, (await hostsOf(tx, [source.datastoreId])).get(source.datastoreId) ?? []);
  }

  private async insert(tx: EntityManager, ctx: BusContext, ref: TaskRef, row: Omit<Parameters<typeof insertVolume>[1], 'taskId'>): Promise<void> {
    const volume = await insertVolume(tx, { ...row, taskId: ref.taskId });
    await emit(tx, volumeChanged, { objectId: volume.id, ctx, taskId: ref.taskId, data: { volume: volumeView(volume) } });
  }

  private async removeIfThere(tx: EntityManager, ctx: BusContext, volumeId: VolumeId, forVm: string | null): Promise<TaskRef> {
    const volume = await lockVolume(tx, volumeId, 'update');
    if (volume !== undefined) return this.remove(tx, ctx, volume, forVm);
    return this.tasks.start(tx, this.kinds.delete, { objectId: volumeId, ctx, input: { volumeId, name: '', place: null, hostId: null, before: null } });
  }

  private async remove(tx: EntityManager, ctx: BusContext, volume: StoredVolume, forVm: string | null): Promise<TaskRef> {
    refuse(deleteRefusal(volume, { volumeIds: await usersOf(tx, volume.id) }, forVm));
    checked(ctx, `Nothing else uses the volume "${volume.name}".`);
    decided(ctx, `the volume "${volume.name}" of ${sizeText(volume.sizeBytes)} is deleted`, { volumeId: volume.id, sizeBytes: volume.sizeBytes, goes: true });
    const hosts = (await hostsOf(tx, [volume.datastoreId])).get(volume.datastoreId) ?? [];
    const ref = await this.tasks.start(tx, this.kinds.delete, {
      objectId: volume.id, objectName: volume.name, ctx, ownerId: volume.ownerId, lock: [{ noun: 'volume', id: volume.id }],
      input: { volumeId: volume.id, name: volume.name, place: placeOf(volume), hostId: hosts[0]?.hostId ?? null, before: volume.state },
    });
    await markState(tx, volume.id, 'deleting', ref.taskId);
    await emit(tx, volumeChanged, { objectId: volume.id, ctx, taskId: ref.taskId, data: { volume: volumeView(await required(tx, volume.id)) } });
    return ref;
  }

  private async locked(tx: EntityManager, volumeId: VolumeId): Promise<StoredVolume> {
    return (await lockVolume(tx, volumeId, 'share')) ?? required(tx, volumeId);
  }

  private async store(tx: EntityManager, datastoreId: DatastoreId): Promise<StoredDatastore> {
    return this.readableStore(tx, 'system', datastoreId);
  }

  private async readableStore(tx: EntityManager, who: Who, datastoreId: DatastoreId): Promise<StoredDatastore> {
    const store = await findDatastore(tx, datastoreId);
    orThrow(allowed(who, 'datastore.read', store?.datastore, { noun: 'datastore', id: datastoreId, read: 'datastore.read' }));
    if (store === undefined) throw new Error('a datastore that is not there was allowed');
    return store;
  }
}

const newVolumeId = (): VolumeId => newUuid() as VolumeId;

function refuse(fault: Fault | undefined): void {
  if (fault !== undefined) throw new FaultError(fault);
}

/** The right to make volumes: in this folder, or on this datastore. */
function mayMake(who: Who, folderId: string | null, store: StoredDatastore): void {
  if (mayAccess(who, 'volume.create', { folderId }) || mayAccess(who, 'volume.create', { id: store.datastore.id })) return;
  throw new FaultError(PermissionDenied.fault('You lack the right volume.create in this folder and on this datastore.', { permission: 'volume.create' }));
}
