import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { listTemplates,
  createDatastore, createImage, createTemplate, deleteImage, deleteTemplate, getImage, getTemplate, getVolume, importImage, listImages, provisionVolume, templatesTask, updateTemplate, writeUpload, discardVolume, storageTask,
} from '#contracts';
import type { FolderId, Image, VmId, VolumeId } from '#contracts';
import { newUuid } from '#kernel';
import { storageService } from '../../services/storage/storage.definition.ts';
import { templatesService } from '../../services/templates/templates.definition.ts';
import { GiB } from './fake-host.fixture.ts';
import { Pool } from './pool.fixture.ts';

let pool: Pool;
beforeAll(async () => {
  pool = await Pool.started([storageService, templatesService], 2);
  pool.world.directories.set('/nas', { marker: null, freeBytes: 50 * GiB });
  await pool.must(createDatastore, { name: 'nas', scope: 'shared', path: '/nas', hostIds: pool.hostIds });
}, 60_000);
afterAll(() => pool.stop(), 30_000);

const sha256 = 'ab'.repeat(32);
let counter = 0;
const fresh = (what: string): string => `${what} ${++counter}`;
const codeOf = (answer: { ok: boolean; fault?: { code: string } }): string => (answer.ok ? 'OK' : (answer.fault?.code ?? ''));
const ended = (ref: { taskId: string }) => pool.ended(templatesTask, ref);

async function upload(image: Image, text: string) {
  await pool.must(writeUpload, { uploadId: image.uploadId!, offset: 0, data: Buffer.from(text).toString('base64') });
  return ended(await pool.must(importImage, { imageId: image.id, sizeBytes: text.length, sha256 }));
}
async function ready(): Promise<Image> {
  const image = await pool.must(createImage, { name: fresh('image') });
  expect(await upload(image, 'a good image')).toMatchObject({ state: 'succeeded' });
  return pool.must(getImage, { imageId: image.id });
}

describe('an image', () => {
  it('is announced, uploaded, imported by storage and deleted, and leaves nothing', async () => {
    const image = await pool.must(createImage, { name: fresh('image') });
    expect(image).toMatchObject({ state: 'awaiting-upload', volumeId: null });
    expect(codeOf(await pool.ask(createTemplate, { name: fresh('t'), imageId: image.id }))).toBe('WRONG_STATE');
    expect(await upload(image, 'a good image')).toMatchObject({ state: 'succeeded' });
    const got = await pool.must(getImage, { imageId: image.id });
    expect(got).toMatchObject({ state: 'ready', sizeBytes: 12, virtualBytes: 8 * 1024 ** 2, sha256, uploadId: null });
    const volumeId = got.volumeId!;
    expect(await pool.must(getVolume, { volumeId })).toMatchObject({ state: 'ready', readOnly: true, use: 'image', sizeBytes: 8 * 1024 ** 2 });
    expect(codeOf(await pool.ask(importImage, { imageId: image.id, sizeBytes: 1, sha256 }))).toBe('WRONG_STATE');
    expect(await ended(await pool.must(deleteImage, { imageId: image.id }))).toMatchObject({ state: 'succeeded' });
    expect(codeOf(await pool.ask(getImage, { imageId: image.id }))).toBe('NOT_FOUND');
    expect(codeOf(await pool.ask(getVolume, { volumeId }))).toBe('NOT_FOUND');
    expect([...pool.world.files.keys()].filter((file) => file.includes(volumeId))).toEqual([]);
    expect(await pool.rows('storage', 'SELECT id FROM upload')).toEqual([]);
  });

  it('that storage refuses is failed with the reason, takes other bytes, and can be deleted', async () => {
    const image = await pool.must(createImage, { name: fresh('image') });
    expect(await upload(image, 'backing file: /etc/shadow')).toMatchObject({ state: 'failed', error: { code: 'IMAGE_REFUSED' } });
    const failed = await pool.must(getImage, { imageId: image.id });
    expect(failed).toMatchObject({ state: 'failed', reason: 'The image names a backing file.', uploadId: image.uploadId, volumeId: null });
    expect(await upload(failed, 'a good image')).toMatchObject({ state: 'succeeded' });
    expect(await pool.must(getImage, { imageId: image.id })).toMatchObject({ state: 'ready', reason: null });
    const other = await pool.must(createImage, { name: fresh('image') });
    expect(await ended(await pool.must(deleteImage, { imageId: other.id }))).toMatchObject({ state: 'succeeded' });
    expect(codeOf(await pool.ask(writeUpload, { uploadId: other.uploadId!, offset: 0, data: '' }))).toBe('NOT_FOUND');
  });

  it('stays while templates or linked clones need it', async () => {
    const image = await ready();
    const template = await pool.must(createTemplate, { name: fresh('template'), imageId: image.id, labels: { os: 'debian' } });
    expect(template).toMatchObject({ volumeId: image.volumeId, diskBytes: 8 * 1024 ** 2, hardware: { memoryBytes: 512 * 1024 ** 2, firmware: 'bios', diskBus: 'virtio' } });
    expect(codeOf(await pool.ask(createTemplate, { name: fresh('template'), imageId: image.id, tpm: '2.0' }))).toBe('INVALID_ARGUMENT');
    const secure = await pool.must(createTemplate, { name: fresh('template'), imageId: image.id, firmware: 'uefi-secure', tpm: '2.0' });
    expect([template.hardware.tpm, secure.hardware.tpm]).toEqual(['none', '2.0']);
    await pool.must(deleteTemplate, { templateId: secure.id });
    expect(codeOf(await pool.ask(deleteImage, { imageId: image.id }))).toBe('IN_USE');
    const [top, below, gone] = [newUuid() as FolderId, newUuid() as FolderId, newUuid() as FolderId];
    pool.folders.set(top, [top, below]).set(below, [below]);
    expect(codeOf(await pool.ask(createTemplate, { name: fresh('template'), imageId: image.id, folderId: gone }))).toBe('NOT_FOUND');
    const filed = await pool.must(createTemplate, { name: fresh('template'), imageId: image.id, folderId: below });
    expect((await pool.must(listTemplates, { folderId: top, subfolders: true })).items.map(({ id }) => id)).toEqual([filed.id]);
    await pool.must(deleteTemplate, { templateId: filed.id });
    const clone = { volumeId: newUuid() as VolumeId, name: fresh('disk'), datastoreId: image.datastoreId, sizeBytes: template.diskBytes, source: { volumeId: template.volumeId, mode: 'linked' as const }, vmId: newUuid() as VmId, hostId: null, ownerId: null, folderId: null };
    expect(await pool.ended(storageTask, await pool.must(provisionVolume, clone))).toMatchObject({ state: 'succeeded' });
    await pool.must(deleteTemplate, { templateId: template.id });
    expect(await ended(await pool.must(deleteImage, { imageId: image.id }))).toMatchObject({ state: 'failed', error: { code: 'IN_USE' } });
    expect(await pool.must(getImage, { imageId: image.id })).toMatchObject({ state: 'ready' });
    await pool.ended(storageTask, await pool.must(discardVolume, { volumeId: clone.volumeId, vmId: clone.vmId }));
    expect(await ended(await pool.must(deleteImage, { imageId: image.id }))).toMatchObject({ state: 'succeeded' });
  }, 60_000);

  it('and its template have names, versions and owners', async () => {
    const name = fresh('raced');
    expect((await Promise.all([pool.ask(createImage, { name }), pool.ask(createImage, { name })])).map(codeOf).sort()).toEqual(['NAME_TAKEN', 'OK']);
    const image = await ready();
    const template = await pool.must(createTemplate, { name: fresh('template'), imageId: image.id });
    expect(codeOf(await pool.ask(createTemplate, { name: template.name, imageId: image.id }))).toBe('NAME_TAKEN');
    expect(await pool.must(updateTemplate, { templateId: template.id, description: 'new', version: 1 })).toMatchObject({ version: 2, description: 'new' });
    expect(codeOf(await pool.ask(updateTemplate, { templateId: template.id, description: 'old', version: 1 }))).toBe('VERSION_CONFLICT');
    const stranger = await pool.user(['image.write', 'template.write', 'datastore.read']);
    const reader = await pool.user(['image.read', 'template.read']);
    // Rights without reading: what one may not see does not exist.
    expect(codeOf(await (await pool.user([])).ask(getImage, { imageId: image.id }))).toBe('NOT_FOUND');
    expect(codeOf(await reader.ask(deleteImage, { imageId: image.id }))).toBe('PERMISSION_DENIED');
    expect(codeOf(await reader.ask(deleteTemplate, { templateId: template.id }))).toBe('PERMISSION_DENIED');
    expect(codeOf(await (await pool.user([])).ask(getTemplate, { templateId: template.id }))).toBe('NOT_FOUND');
    expect(codeOf(await reader.ask(createImage, { name: fresh('x') }))).toBe('PERMISSION_DENIED');
    const own = await stranger.ask(createImage, { name: fresh('own') });
    expect(own).toMatchObject({ ok: true, value: { ownerId: stranger.userId } });
    const seen = await stranger.ask(listImages, { limit: 500 });
    expect(seen.ok && seen.value.items.map((item) => item.ownerId)).toEqual([stranger.userId]);
  });
});
