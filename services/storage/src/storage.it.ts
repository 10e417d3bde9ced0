import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  attachVolume, chooseDatastore, copyVolume, createDatastore, createVolume, deleteDatastore, deleteVolume, discardImageVolume, discardUpload, discardVolume, getDatastore, getVolume, ingestVolume, listDatastores,
  listVolumes, openUpload, placesOfVolumes, provisionVolume, releaseVolume, storageTask, updateVolume, writeUpload,
} from '#contracts';
import type { FolderId, DatastoreId, HostId, RequestOf, UploadId, VmId, VolumeId } from '#contracts';
import { newUuid } from '#kernel';
import { GiB } from '../../../test/integration/fake-host.fixture.ts';
import { until } from '#testing';
import { Pool } from '../../../test/integration/pool.fixture.ts';
import { storageService } from '../storage.definition.ts';

let pool: Pool;
let nas: DatastoreId;
beforeAll(async () => {
  pool = await Pool.started([storageService], 3);
  pool.world.directories.set('/nas', { marker: null, freeBytes: 50 * GiB });
  nas = (await pool.must(createDatastore, { name: 'nas', scope: 'shared', path: '/nas', hostIds: pool.hostIds })).id;
}, 60_000);
afterAll(() => pool.stop(), 30_000);

const MiB = 1024 ** 2;
let counter = 0;
const fresh = (what: string): string => `${what} ${++counter}`;
const codeOf = (answer: { ok: boolean; fault?: { code: string } }): string => (answer.ok ? 'OK' : (answer.fault?.code ?? ''));
const ended = (ref: { taskId: string }) => pool.ended(storageTask, ref);
const fileOf = (id: string, kind = 'volumes') => `/nas/${kind}/${id}.qcow2`;
const provision = (source: RequestOf<typeof provisionVolume>['source'], more: { volumeId?: VolumeId; vmId?: VmId; sizeBytes?: number; format?: 'raw' } = {}): RequestOf<typeof provisionVolume> => ({
  volumeId: newUuid(), name: fresh('disk'), datastoreId: nas, sizeBytes: 64 * MiB, source, vmId: newUuid(), hostId: null, ownerId: null, folderId: null, ...more,
});

async function image(bytes = Buffer.alloc(4096, 7)): Promise<VolumeId> {
  const uploadId = newUuid() as UploadId;
  await pool.must(openUpload, { uploadId, datastoreId: nas, sizeBytes: null });
  await pool.must(writeUpload, { uploadId, offset: 0, data: bytes.toString('base64') });
  const volumeId = newUuid() as VolumeId;
  const ref = await pool.must(ingestVolume, { volumeId, uploadId, imageId: newUuid(), name: fresh('image'), format: 'qcow2', sizeBytes: bytes.length, sha256: null, ownerId: null, folderId: null });
  expect(await ended(ref)).toMatchObject({ state: 'succeeded', output: { virtualBytes: 8 * MiB } });
  return volumeId;
}

describe('a datastore', () => {
  it('shows its hosts and its room', async () => {
    expect(await pool.must(getDatastore, { datastoreId: nas })).toMatchObject({ totalBytes: 100 * GiB, freeBytes: 50 * GiB, hosts: pool.hostIds.toSorted().map((hostId) => ({ hostId, connected: true, reason: null })) });
  });

  it.each([
    ['a directory that is not there', { path: '/nothing', scope: 'shared' as const }, 'WRONG_STATE'],
    ['a directory that is registered', { path: '/nas', scope: 'shared' as const }, 'WRONG_STATE'],
    ['a path that climbs', { path: '/nas/../etc', scope: 'shared' as const }, 'INVALID_ARGUMENT'],
    ['a path with a command in it', { path: '/nas;reboot', scope: 'shared' as const }, 'INVALID_ARGUMENT'],
    ['two hosts for a local one', { path: '/local', scope: 'local' as const }, 'INVALID_ARGUMENT'],
  ])('refuses %s', async (_what, input, code) => {
    expect(codeOf(await pool.ask(createDatastore, { name: fresh('store'), hostIds: pool.hostIds.slice(0, 2), ...input }))).toBe(code);
  });

  it('that hosts see differently, is of others or on a host that is away is refused', async () => {
    const [first, second] = pool.hostIds as [HostId, HostId];
    for (const id of [first, second]) pool.world.directories.set(`${id}:/apart`, { marker: null, freeBytes: GiB });
    expect(codeOf(await pool.ask(createDatastore, { name: fresh('store'), scope: 'shared', path: '/apart', hostIds: [first, second] }))).toBe('WRONG_STATE');
    pool.world.directories.set('/foreign', { marker: newUuid(), freeBytes: GiB });
    pool.world.files.set('/foreign/volumes/x.qcow2', { backing: null, bytes: 1 });
    expect(codeOf(await pool.ask(createDatastore, { name: fresh('store'), scope: 'shared', path: '/foreign', hostIds: [first] }))).toBe('WRONG_STATE');
    expect(codeOf(await pool.ask(createDatastore, { name: fresh('store'), scope: 'local', path: '/nas', hostIds: [newUuid() as HostId] }))).toBe('HOST_UNREACHABLE');
  });

  it('asked for twice with one key is one, gets its id back after it was unregistered, and has its name alone', async () => {
    pool.world.directories.set('/twice', { marker: null, freeBytes: GiB });
    const input = { name: fresh('twice'), scope: 'shared' as const, path: '/twice', hostIds: pool.hostIds };
    const key = newUuid();
    const [one, two] = await Promise.all([pool.ask(createDatastore, input, key), pool.ask(createDatastore, input, key)]);
    expect(one).toEqual(two);
    if (!one.ok) throw new Error(one.fault.detail);
    pool.world.directories.set('/named', { marker: null, freeBytes: GiB });
    expect(codeOf(await pool.ask(createDatastore, { ...input, path: '/named' }))).toBe('NAME_TAKEN');
    await pool.must(deleteDatastore, { datastoreId: one.value.id });
    expect((await pool.must(createDatastore, input)).id).toBe(one.value.id);
    await pool.must(deleteDatastore, { datastoreId: one.value.id });
  });

  it('is chosen by room, and refused with the numbers when it has none', async () => {
    expect((await pool.must(chooseDatastore, { sizeBytes: GiB, hostId: null })).datastoreId).toBe(nas);
    expect(await pool.ask(chooseDatastore, { sizeBytes: 60 * GiB, hostId: null })).toMatchObject({ ok: false, fault: { code: 'DATASTORE_FULL', details: { datastoreId: nas, freeBytes: 50 * GiB, neededBytes: 60 * GiB } } });
    expect(codeOf(await pool.ask(createVolume, { name: fresh('v'), datastoreId: nas, sizeBytes: 60 * GiB }))).toBe('DATASTORE_FULL');
  });
});

describe('a dry run', () => {
  it('tells what a volume would take, and what would go with it', async () => {
    const made = await pool.foretold(createVolume, { name: fresh('v'), datastoreId: nas, sizeBytes: GiB });
    expect(made).toMatchObject({ task: 'storage.volume.create', succeeds: true, checks: ['The datastore "nas" has room for it.'], steps: [{ name: 'make-file', outlook: 'planned' }], decisions: [{ details: { datastoreId: nas, sizeBytes: GiB } }] });
    const name = fresh('v');
    const volumeId = (await ended(await pool.must(createVolume, { name, datastoreId: nas, sizeBytes: MiB }))).object.id as VolumeId;
    expect(await pool.foretold(copyVolume, { volumeId, name: fresh('copy') })).toMatchObject({ task: 'storage.volume.copy', decisions: [{ details: { mode: 'full' } }] });
    expect(await pool.foretold(deleteVolume, { volumeId })).toMatchObject({ task: 'storage.volume.delete', decisions: [{ text: `the volume "${name}" of 1 MiB is deleted`, details: { goes: true } }] });
    expect(await pool.foretold(updateVolume, { volumeId, name: 'other' })).toMatchObject({ task: null, result: { id: volumeId, name: 'other' } });
  });

  it('is refused as the command would be', async () => {
    const dry = async (sizeBytes: number) => codeOf(await pool.bus.explain(createVolume, { name: fresh('v'), datastoreId: nas, sizeBytes }, { as: 'system' }));
    expect([await dry(60 * GiB), await dry(60 * GiB + 1)]).toEqual(['DATASTORE_FULL', 'INVALID_ARGUMENT']);
  });
});

describe('a volume', () => {
  it('belongs to one VM of all that ask at once, goes with none of the others, and is free when that one releases it', async () => {
    const volumeId = (await ended(await pool.must(createVolume, { name: fresh('v'), datastoreId: nas, sizeBytes: MiB }))).object.id as VolumeId;
    const vmIds = Array.from({ length: 5 }, () => newUuid() as VmId);
    const answers = await Promise.all(vmIds.map((vmId) => pool.ask(attachVolume, { volumeId, vmId })));
    expect(answers.map(codeOf).sort()).toEqual(['IN_USE', 'IN_USE', 'IN_USE', 'IN_USE', 'OK']);
    const holder = vmIds[answers.findIndex((answer) => answer.ok)]!;
    const other = vmIds.find((vmId) => vmId !== holder)!;
    expect(codeOf(await pool.ask(attachVolume, { volumeId, vmId: holder }))).toBe('OK');
    expect((await pool.must(listVolumes, { attachedTo: holder })).items.map(({ id }) => id)).toEqual([volumeId]);
    expect(codeOf(await pool.ask(deleteVolume, { volumeId }))).toBe('IN_USE');
    expect(codeOf(await pool.ask(copyVolume, { volumeId, name: fresh('copy') }))).toBe('IN_USE');
    await pool.must(releaseVolume, { volumeId, vmId: other });
    expect((await pool.must(getVolume, { volumeId })).attachedTo).toBe(holder);
    await pool.must(releaseVolume, { volumeId, vmId: holder });
    await pool.must(releaseVolume, { volumeId, vmId: holder });
    expect((await pool.must(getVolume, { volumeId })).attachedTo).toBeNull();
    expect(await ended(await pool.must(deleteVolume, { volumeId }))).toMatchObject({ state: 'succeeded' });
  });

  it('is filed in a folder that is there, and is found in it and in those above', async () => {
    const [top, below, gone] = [newUuid() as FolderId, newUuid() as FolderId, newUuid() as FolderId];
    pool.folders.set(top, [top, below]).set(below, [below]);
    const made = await ended(await pool.must(createVolume, { name: fresh('v'), datastoreId: nas, sizeBytes: MiB, folderId: below }));
    const volumeId = made.object.id as VolumeId;
    const listed = async (folderId: FolderId, subfolders: boolean) => (await pool.must(listVolumes, { folderId, subfolders })).items.map(({ id }) => id);
    expect([await listed(top, true), await listed(below, false), await listed(top, false), await listed(gone, true)]).toEqual([[volumeId], [volumeId], [], []]);
    expect(codeOf(await pool.ask(createVolume, { name: fresh('v'), datastoreId: nas, sizeBytes: MiB, folderId: gone }))).toBe('NOT_FOUND');
    expect(codeOf(await pool.ask(copyVolume, { volumeId, name: fresh('v'), folderId: gone }))).toBe('NOT_FOUND');
    expect(codeOf(await pool.ask(updateVolume, { volumeId, folderId: gone }))).toBe('NOT_FOUND');
    expect((await pool.must(updateVolume, { volumeId, folderId: top })).folderId).toBe(top);
    expect(await listed(below, true)).toEqual([]);
  });

  it('of an image, or one that is not there, is no VM’s', async () => {
    expect(codeOf(await pool.ask(attachVolume, { volumeId: await image(), vmId: newUuid() }))).toBe('WRONG_STATE');
    expect(codeOf(await pool.ask(attachVolume, { volumeId: newUuid(), vmId: newUuid() }))).toBe('NOT_FOUND');
    await pool.must(releaseVolume, { volumeId: newUuid(), vmId: newUuid() });
  });

  it('is made, shown and deleted, and leaves nothing', async () => {
    const ref = await pool.must(createVolume, { name: fresh('v'), datastoreId: nas, sizeBytes: 64 * MiB });
    expect(await ended(ref)).toMatchObject({ state: 'succeeded', kind: 'storage.volume.create' });
    const volumeId = ref.objectId as VolumeId;
    expect(await pool.must(getVolume, { volumeId })).toMatchObject({ state: 'ready', sizeBytes: 64 * MiB, allocatedBytes: 200_000, format: 'qcow2' });
    expect(pool.world.files.has(fileOf(volumeId))).toBe(true);
    expect(await pool.must(placesOfVolumes, { volumeIds: [volumeId] })).toMatchObject({ places: [{ place: { relativePath: `volumes/${volumeId}.qcow2`, datastorePath: '/nas' }, hostIds: pool.hostIds.toSorted() }] });
    expect(codeOf(await pool.ask(deleteDatastore, { datastoreId: nas }))).toBe('IN_USE');
    expect(await ended(await pool.must(deleteVolume, { volumeId }))).toMatchObject({ state: 'succeeded' });
    expect(pool.world.files.has(fileOf(volumeId))).toBe(false);
    expect(codeOf(await pool.ask(getVolume, { volumeId }))).toBe('NOT_FOUND');
  });

  it('of a VM is made once, and goes with the VM alone', async () => {
    const input = provision(null);
    const ref = await pool.must(provisionVolume, input);
    expect(ref.objectId).toBe(input.volumeId);
    expect(await pool.must(provisionVolume, input)).toEqual(ref);
    expect(await ended(ref)).toMatchObject({ state: 'succeeded' });
    expect(await pool.must(getVolume, { volumeId: input.volumeId })).toMatchObject({ attachedTo: input.vmId });
    expect(codeOf(await pool.ask(deleteVolume, { volumeId: input.volumeId }))).toBe('IN_USE');
    expect(codeOf(await pool.ask(copyVolume, { volumeId: input.volumeId, name: fresh('copy') }))).toBe('IN_USE');
    expect(codeOf(await pool.ask(discardVolume, { volumeId: input.volumeId, vmId: newUuid() }))).toBe('IN_USE');
    for (let times = 0; times < 2; times++) {
      expect(await ended(await pool.must(discardVolume, { volumeId: input.volumeId, vmId: input.vmId }))).toMatchObject({ state: 'succeeded' });
    }
    expect(pool.world.files.has(fileOf(input.volumeId))).toBe(false);
  });

  it('is raw where others than QEMU write it; a copy never is', async () => {
    const input = provision(null, { format: 'raw', sizeBytes: MiB });
    expect(await ended(await pool.must(provisionVolume, input))).toMatchObject({ state: 'succeeded' });
    expect(await pool.must(getVolume, { volumeId: input.volumeId })).toMatchObject({ format: 'raw', sizeBytes: MiB, attachedTo: input.vmId });
    const { places } = await pool.must(placesOfVolumes, { volumeIds: [input.volumeId] });
    expect(places[0]?.place).toMatchObject({ format: 'raw', relativePath: `volumes/${input.volumeId}.raw` });
    expect(pool.world.files.has(`/nas/volumes/${input.volumeId}.raw`)).toBe(true);
    await ended(await pool.must(discardVolume, { volumeId: input.volumeId, vmId: input.vmId }));
    expect(pool.world.files.has(`/nas/volumes/${input.volumeId}.raw`)).toBe(false);
    expect(codeOf(await pool.ask(provisionVolume, provision({ volumeId: newUuid(), mode: 'full' }, { format: 'raw' })))).toBe('INVALID_ARGUMENT');
  });

  it('that clones lie over stays until they are gone', async () => {
    const base = await image();
    const clone = provision({ volumeId: base, mode: 'linked' });
    expect(await ended(await pool.must(provisionVolume, clone))).toMatchObject({ state: 'succeeded', kind: 'storage.volume.create' });
    expect(pool.world.files.get(fileOf(clone.volumeId))?.backing).toBe(fileOf(base, 'images'));
    expect(await pool.must(getVolume, { volumeId: clone.volumeId })).toMatchObject({ parentId: base });
    expect(await pool.ask(discardImageVolume, { volumeId: base })).toMatchObject({ ok: false, fault: { code: 'IN_USE', details: { by: [{ noun: 'volume', id: clone.volumeId }] } } });
    expect(codeOf(await pool.ask(provisionVolume, provision({ volumeId: base, mode: 'linked' }, { sizeBytes: 4 * MiB })))).toBe('INVALID_ARGUMENT');
    await ended(await pool.must(discardVolume, { volumeId: clone.volumeId, vmId: clone.vmId }));
    expect(await ended(await pool.must(discardImageVolume, { volumeId: base }))).toMatchObject({ state: 'succeeded' });
    expect(pool.world.files.has(fileOf(base, 'images'))).toBe(false);
  });

  it('is not cloned over a writable one, nor made smaller by a copy', async () => {
    const ref = await pool.must(createVolume, { name: fresh('v'), datastoreId: nas, sizeBytes: 64 * MiB });
    const volumeId = ref.objectId as VolumeId;
    await ended(ref);
    expect(codeOf(await pool.ask(copyVolume, { volumeId, name: fresh('c'), mode: 'linked' }))).toBe('WRONG_STATE');
    expect(codeOf(await pool.ask(copyVolume, { volumeId, name: fresh('c'), sizeBytes: 32 * MiB }))).toBe('INVALID_ARGUMENT');
    const copy = await pool.must(copyVolume, { volumeId, name: fresh('c'), sizeBytes: 128 * MiB });
    expect(await ended(copy)).toMatchObject({ state: 'succeeded', kind: 'storage.volume.copy' });
    expect(pool.world.files.has(fileOf(copy.objectId))).toBe(true);
  });

  it('copied in full shows its progress, and a cancel in the middle leaves neither file nor row', async () => {
    const base = await image();
    const gate = Promise.withResolvers<undefined>();
    pool.world.copyGate = gate.promise;
    const input = provision({ volumeId: base, mode: 'full' });
    const ref = await pool.must(provisionVolume, input);
    await until('all is copied', async () => ((await pool.must(storageTask.get, { taskId: ref.taskId })).progress?.done === 32 * MiB ? true : undefined));
    expect(codeOf(await pool.ask(discardImageVolume, { volumeId: base }))).toBe('IN_USE');
    await pool.must(storageTask.cancel, { taskId: ref.taskId });
    expect(await ended(ref)).toMatchObject({ state: 'cancelled' });
    expect(pool.hosts.flatMap((host) => host.done).filter((what) => what === 'volume.cancel')).toHaveLength(1);
    expect(pool.world.files.has(fileOf(input.volumeId))).toBe(false);
    expect(codeOf(await pool.ask(getVolume, { volumeId: input.volumeId }))).toBe('NOT_FOUND');
    gate.resolve(undefined);
    pool.world.copyGate = undefined;
  }, 60_000);

  it('whose image is refused leaves nothing, and the upload takes other bytes', async () => {
    const uploadId = newUuid() as UploadId;
    await pool.must(openUpload, { uploadId, datastoreId: null, sizeBytes: null });
    await pool.must(writeUpload, { uploadId, offset: 0, data: Buffer.from('backing file: /etc/shadow').toString('base64') });
    const volumeId = newUuid() as VolumeId;
    const ref = await pool.must(ingestVolume, { volumeId, uploadId, imageId: newUuid(), name: fresh('bad'), format: 'qcow2', sizeBytes: 25, sha256: null, ownerId: null, folderId: null });
    expect(await ended(ref)).toMatchObject({ state: 'failed', error: { code: 'IMAGE_REFUSED' } });
    expect(pool.world.staging.has(uploadId)).toBe(false);
    expect(codeOf(await pool.ask(getVolume, { volumeId }))).toBe('NOT_FOUND');
    await pool.must(writeUpload, { uploadId, offset: 0, data: '' });
    await pool.must(discardUpload, { uploadId });
    expect(codeOf(await pool.ask(writeUpload, { uploadId, offset: 0, data: '' }))).toBe('NOT_FOUND');
  });

  it('on a datastore that no connected host sees is refused, and what passes by itself told from what does not', async () => {
    const make = () => pool.ask(createVolume, { name: fresh('v'), datastoreId: nas, sizeBytes: MiB });
    const choose = () => pool.ask(chooseDatastore, { sizeBytes: MiB, hostId: null, sharedFirst: true });
    await pool.hostsAre('awaiting', pool.hostIds, 'storage');
    expect([codeOf(await make()), codeOf(await choose())]).toEqual(['HOST_NOT_CONNECTED', 'NOT_FOUND']);
    await pool.hostsAre('not-responding', pool.hostIds, 'storage');
    expect([codeOf(await make()), codeOf(await choose())]).toEqual(['HOST_UNREACHABLE', 'HOST_UNREACHABLE']);
    expect((await pool.must(getDatastore, { datastoreId: nas })).hosts[0]).toMatchObject({ connected: false, reason: 'the host is not-responding' });
    await pool.hostsAre('connected', pool.hostIds, 'storage');
  });

  it('left in a passing state by a task that is gone is removed', async () => {
    const volumeId = newUuid();
    pool.world.files.set(fileOf(volumeId), { backing: null, bytes: 1 });
    await pool.rows('storage', `INSERT INTO volume (id, name, datastore_id, state, used_as, format, size_bytes, allocated_bytes, claimed_bytes, read_only, task_id, number)
      VALUES (?, 'stray', ?, 'creating', 'disk', 'qcow2', 1048576, 0, 0, 0, ?, 900001)`, [volumeId, nas, newUuid()]);
    const { VolumeTasks } = await import('./volume/volume.tasks.ts');
    const { volumeReconciler } = await import('./volume/volume.reconciler.ts');
    const service = pool.services[0]!;
    const { Db, Log, Tasks } = await import('#service');
    const reconciler = volumeReconciler(service.get(Db), service.get(Tasks), service.get(VolumeTasks), service.get(Log));
    await reconciler.run(new AbortController().signal);
    await until('the volume is gone', async () => ((await pool.rows('storage', 'SELECT id FROM volume WHERE id = ?', [volumeId])).length === 0 ? true : undefined));
    expect(pool.world.files.has(fileOf(volumeId))).toBe(false);
  });
});

describe('rights on volumes', () => {
  it('are the owner’s and those of his grants, and lists show nothing else', async () => {
    const owner = await pool.user(['volume.create', 'datastore.read']);
    const other = await pool.user(['volume.create', 'datastore.read']);
    const reader = await pool.user(['volume.read', 'datastore.read']);
    const ref = await owner.ask(createVolume, { name: fresh('mine'), datastoreId: nas, sizeBytes: MiB });
    if (!ref.ok) throw new Error(ref.fault.detail);
    await ended(ref.value);
    const volumeId = ref.value.objectId as VolumeId;
    expect(await owner.ask(getVolume, { volumeId })).toMatchObject({ ok: true, value: { ownerId: owner.userId } });
    const seen = async (who: typeof owner) => { const page = await who.ask(listVolumes, { limit: 500 }); return page.ok && page.value.items.some((item) => item.id === volumeId); };
    expect([await seen(owner), await seen(other), await seen(reader)]).toEqual([true, false, true]);
    expect(codeOf(await other.ask(getVolume, { volumeId }))).toBe('NOT_FOUND');
    expect(codeOf(await other.ask(deleteVolume, { volumeId }))).toBe('NOT_FOUND');
    expect(codeOf(await other.ask(copyVolume, { volumeId, name: fresh('c') }))).toBe('NOT_FOUND');
    expect(codeOf(await reader.ask(deleteVolume, { volumeId }))).toBe('PERMISSION_DENIED');
    expect(codeOf(await reader.ask(createVolume, { name: fresh('x'), datastoreId: nas, sizeBytes: MiB }))).toBe('PERMISSION_DENIED');
    expect(codeOf(await reader.ask(provisionVolume, provision(null)))).toBe('PERMISSION_DENIED');
    const blind = await pool.user(['volume.create', 'datastore.read'], 'object', newUuid());
    expect(codeOf(await blind.ask(createVolume, { name: fresh('x'), datastoreId: nas, sizeBytes: MiB }))).toBe('NOT_FOUND');
    expect(await blind.ask(listDatastores, {})).toMatchObject({ ok: true, value: { items: [] } });
    const key = newUuid();
    const input = { name: fresh('keyed'), datastoreId: nas, sizeBytes: MiB };
    expect(await owner.ask(createVolume, input, key)).toEqual(await owner.ask(createVolume, input, key));
    expect(codeOf(await owner.ask(createVolume, { ...input, sizeBytes: 2 * MiB }, key))).toBe('IDEMPOTENCY_KEY_REUSED');
    expect(codeOf(await owner.ask(deleteVolume, { volumeId }))).toBe('OK');
  });

  it.each([
    ['no size', { sizeBytes: 0 }], ['an absurd size', { sizeBytes: 2 ** 52 }], ['a broken sector', { sizeBytes: MiB + 1 }], ['a name with a path', { name: '../../etc/passwd' }],
    ['a name with SQL', { name: "x'; DROP TABLE volume; --" }], ['a field nobody knows', { state: 'ready' }], ['an owner', { ownerId: newUuid() }],
  ])('do not help against bad input: %s', async (_what, bad) => {
    expect(codeOf(await pool.ask(createVolume, { name: fresh('v'), datastoreId: nas, sizeBytes: MiB, ...bad }))).toBe('INVALID_ARGUMENT');
  });
});
