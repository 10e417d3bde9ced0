// Datastores and volumes; the staging of uploads.
import { z } from 'zod';
import { defineCommand, defineEvent, defineQuery } from '../define.ts';
import { Busy, DatastoreFull, HostNotConnected, HostUnreachable, ImageRefused, InUse, NameTaken, NotFound, VersionConflict, WrongState } from '../errors.ts';
import { DatastoreId, FolderId, HostId, ImageId, UploadId, UserId, VmId, VolumeId } from '../ids.ts';
import { folderFilter, labelInput, listInput, searchInput } from '../list.ts';
import { Bytes, Description, Done, Labels, Name, objectFields, ownedFields, pageOf, TaskRef, VolumeBytes } from '../values.ts';
import { VolumeFormat, VolumePlace } from '../host/shapes.ts';

/** `local` = one host has it; `shared` = every host in `hosts` sees the same directory. */
export const Datastore = z.strictObject({
  id: DatastoreId, name: Name, description: Description, type: z.literal('directory'), scope: z.enum(['local', 'shared']), path: z.string(),
  hosts: z.array(z.strictObject({ hostId: HostId, connected: z.boolean(), reason: z.string().nullable() })),
  totalBytes: Bytes, freeBytes: Bytes, provisionedBytes: Bytes.describe('sum of the virtual sizes of its volumes'), ...objectFields,
}).meta({ id: 'Datastore' });
export type Datastore = z.infer<typeof Datastore>;
const path = z.string().min(2).max(400).regex(/^\/[A-Za-z0-9._/-]+$/, 'an absolute path of letters, digits, dot, dash, underscore').refine((value) => !value.split('/').some((part) => part === '..' || part === '.'), 'no . or .. in it');
export const createDatastore = defineCommand('storage.datastore.create', {
  summary: 'Register a directory as datastore; every host named must see it', http: 'POST /v1/datastores', permission: 'datastore.write',
  input: z.strictObject({ name: Name, description: Description.default(''), type: z.literal('directory').default('directory'), scope: z.enum(['local', 'shared']), path, hostIds: z.array(HostId).min(1).max(1000) }).refine((store) => store.scope === 'shared' || store.hostIds.length === 1, 'a local datastore has one host'),
  reply: Datastore, errors: [NameTaken, HostUnreachable, WrongState], timeoutMs: 30_000,
});
export const listDatastores = defineQuery('storage.datastore.list', { summary: 'List datastores', http: 'GET /v1/datastores', permission: 'datastore.read', input: z.strictObject({ ...listInput(Datastore, ['createdAt', 'name']), ...searchInput(), name: Name.optional(), hostId: HostId.optional() }), reply: pageOf(Datastore) });
export const getDatastore = defineQuery('storage.datastore.get', { summary: 'Show a datastore', http: 'GET /v1/datastores/:datastoreId', permission: 'datastore.read', on: 'datastoreId', input: z.strictObject({ datastoreId: DatastoreId }), reply: Datastore, errors: [NotFound] });
export const deleteDatastore = defineCommand('storage.datastore.delete', { summary: 'Unregister a datastore without volumes; files stay', http: 'DELETE /v1/datastores/:datastoreId', permission: 'datastore.write', on: 'datastoreId', input: z.strictObject({ datastoreId: DatastoreId }), reply: Done, errors: [NotFound, InUse] });

export const VolumeState = z.enum(['creating', 'ready', 'deleting', 'failed']);
export const VolumeUse = z.enum(['disk', 'image']);
export const Volume = z.strictObject({
  id: VolumeId, name: Name, description: Description, labels: Labels, datastoreId: DatastoreId, state: VolumeState, use: VolumeUse, format: VolumeFormat, sizeBytes: VolumeBytes, allocatedBytes: Bytes.describe('what its file takes on the datastore, looked at once a minute'),
  readOnly: z.boolean(), parentId: VolumeId.nullable().describe('the volume that this linked clone lies over'), attachedTo: VmId.nullable(), ...ownedFields,
}).meta({ id: 'Volume' });
export type Volume = z.infer<typeof Volume>;
export const updateVolume = defineCommand('storage.volume.update', {
  dryRun: true,
  summary: 'Change name, description, labels or folder of a volume', description: '`labels` replaces all of them.', http: 'PATCH /v1/volumes/:volumeId', permission: 'volume.modify', on: 'volumeId',
  input: z.strictObject({ volumeId: VolumeId, name: Name.optional(), description: Description.optional(), labels: Labels.optional(), folderId: FolderId.nullable().optional(), version: z.int().optional() }), reply: Volume, errors: [NotFound, VersionConflict],
});
const fresh = { name: Name, datastoreId: DatastoreId, folderId: FolderId.nullable().default(null) };
export const createVolume = defineCommand('storage.volume.create', { dryRun: true, summary: 'Create an empty volume on a datastore', http: 'POST /v1/volumes', permission: 'volume.create', input: z.strictObject({ ...fresh, sizeBytes: VolumeBytes }), reply: TaskRef, errors: [NotFound, DatastoreFull, HostNotConnected, HostUnreachable] });
export const copyVolume = defineCommand('storage.volume.copy', {
  dryRun: true,
  summary: 'Copy a volume’s data in full, or make a linked clone over a read-only volume', http: 'POST /v1/volumes/:volumeId/copy', permission: 'volume.create', on: 'volumeId',
  input: z.strictObject({ volumeId: VolumeId, ...fresh, datastoreId: DatastoreId.optional(), sizeBytes: VolumeBytes.optional(), mode: z.enum(['full', 'linked']).default('full') }), reply: TaskRef, errors: [NotFound, DatastoreFull, HostNotConnected, HostUnreachable, InUse, WrongState],
});
export const listVolumes = defineQuery('storage.volume.list', { summary: 'List volumes', http: 'GET /v1/volumes', permission: 'volume.read', input: z.strictObject({ ...listInput(Volume, ['createdAt', 'name', 'sizeBytes', 'state']), ...searchInput(), ...labelInput, name: Name.optional(), datastoreId: DatastoreId.optional(), use: VolumeUse.optional(), attachedTo: VmId.optional(), ...folderFilter }), reply: pageOf(Volume) });
export const getVolume = defineQuery('storage.volume.get', { summary: 'Show a volume', http: 'GET /v1/volumes/:volumeId', permission: 'volume.read', on: 'volumeId', input: z.strictObject({ volumeId: VolumeId }), reply: Volume, errors: [NotFound] });
export const deleteVolume = defineCommand('storage.volume.delete', { dryRun: true, summary: 'Delete a volume that no VM and no linked clone uses', http: 'DELETE /v1/volumes/:volumeId', permission: 'volume.delete', on: 'volumeId', input: z.strictObject({ volumeId: VolumeId }), reply: TaskRef, errors: [NotFound, InUse, Busy] });

// For other services, inside their tasks. The caller makes the id, so that a repeated call finds its first result.
const owner = { ownerId: UserId.nullable(), folderId: FolderId.nullable() };
export const provisionVolume = defineCommand('storage.volume.provision', {
  dryRun: true,
  summary: 'Make a volume for a VM: blank, a full copy or a linked clone; attached to it from the first moment', permission: 'internal',
  input: z.strictObject({ volumeId: VolumeId, name: Name, datastoreId: DatastoreId, sizeBytes: VolumeBytes, source: z.strictObject({ volumeId: VolumeId, mode: z.enum(['full', 'linked']) }).nullable(), format: VolumeFormat.default('qcow2').describe('raw for a blank volume that others than QEMU write'), vmId: VmId, hostId: HostId.nullable().describe('do the work there if it sees the datastore'), ...owner })
    .refine(({ source, format }) => source === null || format === 'qcow2', { message: 'a copy is qcow2', path: ['format'] }),
  reply: TaskRef, errors: [NotFound, DatastoreFull, HostNotConnected, HostUnreachable, InUse],
});
export const discardVolume = defineCommand('storage.volume.discard', { dryRun: true, summary: 'Delete a VM’s volume with the VM; one that is not there is already gone', permission: 'internal', input: z.strictObject({ volumeId: VolumeId, vmId: VmId }), reply: TaskRef, errors: [InUse, Busy] });
export const attachVolume = defineCommand('storage.volume.attach', {
  dryRun: true,
  summary: 'Give a volume that no VM has to a VM; one that the VM has already stays its', permission: 'internal',
  input: z.strictObject({ volumeId: VolumeId, vmId: VmId }), reply: Volume, errors: [NotFound, InUse, WrongState],
});
export const releaseVolume = defineCommand('storage.volume.release', {
  summary: 'A VM’s volume is nobody’s again, because the host has let it go; one that another VM has stays that one’s', permission: 'internal',
  input: z.strictObject({ volumeId: VolumeId, vmId: VmId }), reply: Done,
});
export const keepVolume = defineCommand('storage.volume.keep', { dryRun: true, summary: 'Set a VM’s volume free under a name; one that is not the VM’s any more stays as it is', permission: 'internal', input: z.strictObject({ volumeId: VolumeId, vmId: VmId, name: Name }), reply: Done });
export const placesOfVolumes = defineQuery('storage.volume.places', { summary: 'Where volumes lie, and which hosts see them', permission: 'internal', input: z.strictObject({ volumeIds: z.array(VolumeId).max(64) }), reply: z.strictObject({ places: z.array(z.strictObject({ place: VolumePlace, hostIds: z.array(HostId) })) }), errors: [NotFound] });
export const chooseDatastore = defineQuery('storage.datastore.choose', { summary: 'The datastore with most free space that can take these bytes, or the named one if it can', permission: 'internal', input: z.strictObject({ sizeBytes: Bytes, hostId: HostId.nullable(), sharedFirst: z.boolean().default(true), datastoreId: DatastoreId.optional() }), reply: z.strictObject({ datastoreId: DatastoreId, hostIds: z.array(HostId), name: Name.optional() }), errors: [DatastoreFull, NotFound, HostUnreachable] });
export const openUpload = defineCommand('storage.upload.open', { summary: 'Reserve a staging file on a datastore', permission: 'internal', input: z.strictObject({ uploadId: UploadId, datastoreId: DatastoreId.nullable(), sizeBytes: Bytes.nullable() }), reply: z.strictObject({ datastoreId: DatastoreId }), errors: [NotFound, DatastoreFull, HostNotConnected, HostUnreachable] });
export const writeUpload = defineQuery('storage.upload.write', { summary: 'Write one piece of an upload at its offset; the same piece again changes nothing', permission: 'internal', input: z.strictObject({ uploadId: UploadId, offset: Bytes, data: z.base64().max(720_000) }), reply: z.strictObject({ sizeBytes: Bytes }), errors: [NotFound, DatastoreFull, HostUnreachable], timeoutMs: 30_000 });
export const discardUpload = defineCommand('storage.upload.discard', { summary: 'Forget an upload and its staging file', permission: 'internal', input: z.strictObject({ uploadId: UploadId }), reply: Done });
export const ingestVolume = defineCommand('storage.volume.ingest', {
  summary: 'Check an upload in a sandbox and make it a read-only volume', permission: 'internal',
  input: z.strictObject({ volumeId: VolumeId, uploadId: UploadId, imageId: ImageId, name: Name, format: VolumeFormat, sizeBytes: Bytes, sha256: z.string().nullable(), ...owner }), reply: TaskRef, errors: [NotFound, ImageRefused, DatastoreFull, HostNotConnected, HostUnreachable],
});
export const discardImageVolume = defineCommand('storage.volume.discard-image', { dryRun: true, summary: 'Delete an image’s volume unless a linked clone lies over it', permission: 'internal', input: z.strictObject({ volumeId: VolumeId }), reply: TaskRef, errors: [InUse, Busy] });

export const datastoreChanged = defineEvent('storage.datastore.changed', { summary: 'A datastore was registered or changed', data: z.strictObject({ datastore: Datastore }) });
export const datastoreDeleted = defineEvent('storage.datastore.deleted', { summary: 'A datastore was unregistered', data: z.strictObject({ datastoreId: DatastoreId }) });
export const volumeChanged = defineEvent('storage.volume.changed', { summary: 'A volume was made or changed', data: z.strictObject({ volume: Volume }) });
export const volumeDeleted = defineEvent('storage.volume.deleted', { summary: 'A volume is gone', data: z.strictObject({ volumeId: VolumeId, name: Name }) });
