// Volumes: where their files lie, and when one may be copied or deleted. Pure.
import { DatastoreFull, InUse, InvalidArgument, WrongState } from '#contracts';
import type { DatastoreId, UserId, FolderId, VmId, Volume, VolumeId, VolumePlace } from '#contracts';
import { sizeText } from '#kernel';
import type { Fault } from '#kernel';

export type VolumeState = Volume['state'];
export type CopyMode = 'full' | 'linked';

/** A volume with what a host needs to find its file. */
export interface StoredVolume {
  readonly id: VolumeId;
  readonly number: number;
  readonly name: string;
  readonly description: string;
  readonly labels: Volume['labels'];
  readonly datastoreId: DatastoreId;
  readonly datastorePath: string;
  readonly state: VolumeState;
  readonly use: Volume['use'];
  readonly format: Volume['format'];
  readonly sizeBytes: number;
  readonly allocatedBytes: number;
  readonly readOnly: boolean;
  readonly parentId: VolumeId | null;
  readonly attachedTo: VmId | null;
  readonly ownerId: UserId | null;
  readonly folderId: FolderId | null;
  readonly taskId: string | null;
  readonly version: number;
  readonly createdAt: string;
  readonly updatedAt: string;
}

/** The public face. */
export const volumeView = ({ datastorePath: _path, taskId: _task, ...volume }: StoredVolume): Volume => volume;

/** File names come from ids alone: nothing a user writes becomes a path. */
export const placeOf = (volume: Pick<StoredVolume, 'id' | 'datastoreId' | 'datastorePath' | 'use' | 'format'>): VolumePlace => ({
  volumeId: volume.id,
  datastoreId: volume.datastoreId,
  datastorePath: volume.datastorePath,
  relativePath: `${volume.use === 'image' ? 'images' : 'volumes'}/${volume.id}.${volume.format}`,
  format: volume.format,
});

const MiB = 1024 * 1024;
/** A linked clone begins with tables of its own and grows as its VM writes. */
const linkedCloneBytes = 64 * MiB;

/**
 * Free bytes that a new volume must find: what it holds when it is full, so that a volume is never promised that could
 * not be filled on the day it is made. Later growth of others is thin provisioning, seen in `provisionedBytes`.
 */
export const neededBytes = (mode: CopyMode | 'blank', sizeBytes: number): number => (mode === 'linked' ? Math.min(sizeBytes, linkedCloneBytes) : sizeBytes);

export function spaceFault(datastoreId: string, freeBytes: number, needed: number): Fault | undefined {
  if (needed <= freeBytes) return undefined;
  return DatastoreFull.fault(`The datastore has ${sizeText(freeBytes)} free, ${sizeText(needed)} are needed.`, { datastoreId, freeBytes, neededBytes: needed });
}

const invalid = (path: string, message: string): Fault => InvalidArgument.fault(`${path}: ${message}.`, { issues: [{ path, message }] });

/** Why this volume cannot be copied like that; undefined = it can. */
export function copyRefusal(source: StoredVolume, mode: CopyMode, to: { readonly datastoreId: string; readonly sizeBytes: number }): Fault | undefined {
  if (source.state !== 'ready') return WrongState.fault(`The volume to copy is ${source.state}.`, { state: source.state, allowed: ['ready'] });
  if (!source.readOnly && mode === 'linked') return WrongState.fault('A linked clone needs a read-only volume below it: an image’s.', { state: 'writable', allowed: ['read-only'] });
  if (!source.readOnly && source.attachedTo !== null) return InUse.fault('The volume belongs to a VM that may write to it during the copy.', { by: [{ noun: 'vm', id: source.attachedTo }] });
  if (mode === 'linked' && to.datastoreId !== source.datastoreId) return invalid('datastoreId', 'a linked clone lies on the datastore of the volume below it');
  if (to.sizeBytes < source.sizeBytes) return invalid('sizeBytes', `at least the ${source.sizeBytes} bytes of the volume that is copied`);
  return undefined;
}

/** Why this volume cannot be given to a VM; undefined = it can, or is the VM's already. */
export function attachRefusal(volume: StoredVolume, vmId: string): Fault | undefined {
  if (volume.attachedTo !== null && volume.attachedTo !== vmId) return InUse.fault('The volume belongs to another VM.', { by: [{ noun: 'vm', id: volume.attachedTo }] });
  if (volume.use !== 'disk') return WrongState.fault('The volume of an image cannot be attached; make a copy or a linked clone of it.', { state: volume.use, allowed: ['disk'] });
  if (volume.state !== 'ready') return WrongState.fault(`The volume is ${volume.state}.`, { state: volume.state, allowed: ['ready'] });
  return undefined;
}

/** Volumes that stop this one from going: linked clones over it, full copies that read it now. */
export interface VolumeUsers {
  readonly volumeIds: readonly string[];
}

/** Why this volume cannot be deleted; undefined = it can. `forVm` = on behalf of the VM that it belongs to. */
export function deleteRefusal(volume: StoredVolume, users: VolumeUsers, forVm: string | null): Fault | undefined {
  const by = users.volumeIds.map((id) => ({ noun: 'volume', id }));
  if (volume.attachedTo !== null && volume.attachedTo !== forVm) by.unshift({ noun: 'vm', id: volume.attachedTo });
  if (by.length === 0) return undefined;
  return InUse.fault(volume.attachedTo !== null && volume.attachedTo !== forVm ? 'The volume belongs to a VM.' : 'Other volumes lie over this one or are being copied from it.', { by });
}

/** A size that the contract allows for a volume whose real one is not known yet. */
export const roundedSize = (bytes: number): number => Math.max(MiB, Math.ceil(bytes / 512) * 512);
