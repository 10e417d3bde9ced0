// Volumes on a real file system with a real qemu-img: what is made, what a cancel or a crash leaves, who may read what.
import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, readdir, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { DatastoreId, HostVmSpec, UploadId } from '#contracts';
import type { HostDisk } from '#contracts';
import { newUuid, orThrow, sleep } from '#kernel';
import type { VolumeDriver } from '../drivers.ts';
import { isInUse } from './qemu-img.driver.ts';
import { createVolumeDriver } from './volume.driver.ts';
import { MiB, TestDatastore, qemuImg, qemuIo, withTextFile, work } from './volume.testing.ts';

jest.setTimeout(60_000);
const templateGid = 199_999;
let driver: VolumeDriver;
let store: TestDatastore;
beforeEach(async () => {
  driver = createVolumeDriver({ templateGid });
  store = await TestDatastore.make(driver);
});
afterEach(() => store.remove());

const infoOf = async (file: string): Promise<Record<string, unknown>> => JSON.parse(await qemuImg('info', '-f', 'qcow2', '--output=json', file)) as Record<string, unknown>;
const drafts = async (): Promise<string[]> => (await readdir(join(store.path, 'volumes'))).filter((name) => name.endsWith('.draft'));

describe('a datastore', () => {
  it('is looked at by many at once, and what a look that died has left goes with a later one', async () => {
    const input = { datastoreId: store.datastoreId, path: store.path, initialise: false };
    const [left, another] = ['.probe-left', '.probe-of-another-host'].map((name) => join(store.path, '.staging', name)) as [string, string];
    await Promise.all([left, another].map((file) => writeFile(file, 'x')));
    await utimes(left, new Date(), new Date(Date.now() - 3_600_000));
    const looks = await Promise.all(Array.from({ length: 24 }, () => driver.probe(input, work())));
    expect(looks.map((look) => (look.ok ? look.value.marker : look.fault.detail))).toEqual(looks.map(() => store.datastoreId));
    expect(await readdir(join(store.path, '.staging'))).toEqual([basename(another)]);
    await rm(another);
  });
  it('keeps the marker of whoever initialised it first', async () => {
    const other = await driver.probe({ datastoreId: DatastoreId.parse(newUuid()), path: store.path, initialise: true }, work());
    expect(orThrow(other).marker).toBe(store.datastoreId);
    expect(orThrow(other).freeBytes).toBeGreaterThan(0);
  });

  it('that is not mounted is never written to', async () => {
    await rm(join(store.path, '.tokamak-datastore'));
    const refusal = await driver.create({ commandId: 'c', place: store.place(), sizeBytes: MiB, backing: null }, work());
    expect(refusal).toMatchObject({ ok: false, fault: { code: 'HOST_COMMAND_FAILED' } });
    expect(await readdir(join(store.path, 'volumes'))).toEqual([]);
  });

  it('lists its volumes and nothing else', async () => {
    const place = store.place();
    orThrow(await driver.create({ commandId: 'c', place, sizeBytes: 8 * MiB, backing: null }, work()));
    await writeFile(join(store.path, 'volumes', 'notes.txt'), 'x');
    await symlink('/etc/passwd', store.file(store.place()));
    const { files } = orThrow(await driver.scan({ path: store.path, after: '' }, work()));
    expect(files.map((file) => file.relativePath)).toEqual([place.relativePath]);
  });

  it('refuses paths that are not a volume’s', async () => {
    for (const relativePath of ['volumes/../../etc/passwd', '../x', 'volumes/x.qcow2', `images/${newUuid()}.vmdk`]) {
      const refusal = await driver.delete({ commandId: 'c', place: { ...store.place(), relativePath } }, work());
      expect(refusal).toMatchObject({ ok: false, fault: { code: 'INVALID_ARGUMENT' } });
    }
  });
});

describe('create', () => {
  it.each(['qcow2', 'raw'] as const)('makes an empty %s that takes no space, and again answers the same', async (format) => {
    const place = store.place('volumes', format);
    const input = { commandId: 'c', place, sizeBytes: 64 * MiB, backing: null };
    expect(await driver.effectOf('volume.create', input)).toBe('not-done');
    const first = orThrow(await driver.create(input, work()));
    expect(first.allocatedBytes).toBeLessThan(MiB);
    expect(await driver.effectOf('volume.create', input)).toBe('done');
    expect(orThrow(await driver.create(input, work()))).toEqual(first);
    expect(await driver.create({ ...input, sizeBytes: 65 * MiB }, work())).toMatchObject({ ok: false });
    expect((await stat(store.file(place))).mode & 0o777).toBe(0o600);
  });

  it('makes a linked clone that names its image by a relative path and format', async () => {
    const image = await store.image(store.place('images'), 32 * MiB, MiB);
    const place = store.place();
    orThrow(await driver.create({ commandId: 'c', place, sizeBytes: 64 * MiB, backing: image }, work()));
    expect(await infoOf(store.file(place))).toMatchObject({ 'virtual-size': 64 * MiB, 'backing-filename': `../${image.relativePath}`, 'backing-filename-format': 'qcow2' });
    expect(await qemuIo('qcow2', store.file(place), 'read -P 0xa5 0 1M')).not.toContain('failed');
    const small = await driver.create({ commandId: 'd', place: store.place(), sizeBytes: 16 * MiB, backing: image }, work());
    expect(small).toMatchObject({ ok: false, fault: { code: 'INVALID_ARGUMENT' } });
    const missing = await driver.create({ commandId: 'e', place: store.place(), sizeBytes: 16 * MiB, backing: store.place('images') }, work());
    expect(missing).toMatchObject({ ok: false, fault: { code: 'NOT_FOUND_ON_HOST' } });
  });
});

describe('copy', () => {
  it('copies the data through a chain, grows it, and reports real progress', async () => {
    const image = await store.image(store.place('images'), 32 * MiB, 8 * MiB);
    const clone = store.place();
    orThrow(await driver.create({ commandId: 'c', place: clone, sizeBytes: 32 * MiB, backing: image }, work()));
    const to = store.place('volumes', 'raw');
    const watch = work();
    const { allocatedBytes } = orThrow(await driver.copy({ commandId: 'd', from: clone, to, sizeBytes: 48 * MiB }, watch));
    expect((await stat(store.file(to))).size).toBe(48 * MiB);
    expect(allocatedBytes).toBeLessThan(10 * MiB);
    expect((await readFile(store.file(to))).subarray(0, 8 * MiB).every((byte) => byte === 0xa5)).toBe(true);
    expect(watch.progress.at(-1)).toEqual({ doneBytes: 32 * MiB, totalBytes: 32 * MiB });
    expect(watch.progress.every((step, at) => at === 0 || step.doneBytes >= (watch.progress[at - 1]?.doneBytes ?? 0))).toBe(true);
    expect(await drafts()).toEqual([]);
  });

  it('does not follow a source whose header was bent to another file', async () => {
    await withTextFile('SECRET-MARKER'.repeat(100), async (victim) => {
      const from = store.place();
      await qemuImg('create', '-q', '-f', 'qcow2', '-b', victim, '-F', 'raw', '-u', store.file(from), String(4 * MiB));
      const refusal = await driver.copy({ commandId: 'c', from, to: store.place(), sizeBytes: 4 * MiB }, work());
      expect(refusal).toMatchObject({ ok: false, fault: { code: 'HOST_COMMAND_FAILED' } });
      expect((await readdir(join(store.path, 'volumes'))).length).toBe(1);
    });
  });

  it('treats a raw disk with a qcow2 header inside as data', async () => {
    await withTextFile('SECRET-MARKER'.repeat(100), async (victim) => {
      const from = store.place('volumes', 'raw');
      const bait = join(store.path, 'bait');
      await qemuImg('create', '-q', '-f', 'qcow2', '-b', victim, '-F', 'raw', '-u', bait, String(4 * MiB));
      await writeFile(store.file(from), Buffer.concat([await readFile(bait), Buffer.alloc(4 * MiB)]).subarray(0, 4 * MiB));
      const to = store.place('volumes', 'raw');
      orThrow(await driver.copy({ commandId: 'c', from, to, sizeBytes: 4 * MiB }, work()));
      expect((await readFile(store.file(to))).equals(await readFile(store.file(from)))).toBe(true);
    });
  });

  it('refuses what does not fit before it writes anything, with the numbers', async () => {
    const from = await store.image(store.place(), 64 * MiB, 64 * MiB);
    const small = await TestDatastore.make(driver, 48 * MiB);
    try {
      const refusal = await driver.copy({ commandId: 'c', from, to: small.place(), sizeBytes: 64 * MiB }, work());
      expect(refusal).toMatchObject({ ok: false, fault: { code: 'DATASTORE_FULL', details: { datastoreId: small.datastoreId } } });
      if (!refusal.ok) expect(Number(refusal.fault.details?.['neededBytes'])).toBeGreaterThan(Number(refusal.fault.details?.['freeBytes']));
      expect(await readdir(join(small.path, 'volumes'))).toEqual([]);
    } finally {
      await small.remove();
    }
  });

  it('that is cancelled leaves nothing', async () => {
    const from = await store.image(store.place(), 400 * MiB, 400 * MiB);
    const to = store.place();
    const copying = driver.copy({ commandId: 'slow', from, to, sizeBytes: 400 * MiB }, work());
    for (let tries = 0; (await drafts()).length === 0 && tries < 2_000; tries += 1) await sleep(1);
    orThrow(await driver.cancel({ commandId: 'stop', targetCommandId: 'slow' }, work()));
    expect(await copying).toMatchObject({ ok: false, fault: { code: 'COMMAND_CANCELLED' } });
    expect(await drafts()).toEqual([]);
    expect(await driver.effectOf('volume.copy', { commandId: 'slow', from, to, sizeBytes: 400 * MiB })).toBe('not-done');
  });

  it('ends with the agent that is killed in the middle, is seen as partial, and succeeds when done again', async () => {
    const from = await store.image(store.place(), 600 * MiB, 600 * MiB);
    const input = { commandId: 'crash', from, to: store.place(), sizeBytes: 600 * MiB };
    const script = `import { createVolumeDriver } from '${import.meta.dirname}/volume.driver.ts';
      const driver = createVolumeDriver({ templateGid: 199999 });
      await driver.copy(${JSON.stringify(input)}, { signal: new AbortController().signal, onProgress: (step) => console.log(step.doneBytes) });`;
    const agent = spawn(process.execPath, ['--conditions=source', '--experimental-transform-types', '--input-type=module', '-e', script], { cwd: import.meta.dirname, stdio: ['ignore', 'pipe', 'pipe'] });
    agent.stderr.resume();
    await once(agent.stdout, 'data');
    agent.kill('SIGKILL');
    await once(agent, 'exit');
    expect(await driver.effectOf('volume.copy', input)).toBe('partial');
    const [draft = ''] = await drafts();
    const size = async (): Promise<number> => (await stat(join(store.path, 'volumes', draft))).blocks;
    for (let tries = 0; (await isInUse(join(store.path, 'volumes', draft))) && tries < 200; tries += 1) await sleep(10);
    // It did not go on without the agent: most of the data is not there.
    expect((await size()) * 512).toBeLessThan(590 * MiB);
    orThrow(await driver.copy(input, work()));
    expect(await drafts()).toEqual([]);
    expect(await qemuIo('qcow2', store.file(input.to), 'read -P 0xa5 599M 1M')).not.toContain('failed');
    expect(await driver.effectOf('volume.copy', input)).toBe('done');
  });
});

describe('delete', () => {
  it('removes the volume and its drafts; what is not there is deleted already', async () => {
    const place = store.place();
    orThrow(await driver.create({ commandId: 'c', place, sizeBytes: MiB, backing: null }, work()));
    await writeFile(join(store.path, 'volumes', `.${place.volumeId}.qcow2.0123.draft`), 'x');
    const input = { commandId: 'd', place };
    expect(await driver.effectOf('volume.delete', input)).toBe('not-done');
    for (let twice = 0; twice < 2; twice += 1) orThrow(await driver.delete(input, work()));
    expect(await driver.effectOf('volume.delete', input)).toBe('done');
    expect(await readdir(join(store.path, 'volumes'))).toEqual([]);
  });

  it('refuses while a process has the volume open', async () => {
    const place = await store.image(store.place(), MiB, 4096);
    const holder = spawn('qemu-io', ['-f', 'qcow2', store.file(place)], { stdio: ['pipe', 'pipe', 'ignore'] });
    holder.stdin.write('read 0 512\n');
    await once(holder.stdout, 'data');
    expect(await driver.delete({ commandId: 'c', place }, work())).toMatchObject({ ok: false, fault: { code: 'IN_USE' } });
    holder.stdin.end('quit\n');
    await once(holder, 'exit');
    orThrow(await driver.delete({ commandId: 'c', place }, work()));
  });
});

describe('uploads', () => {
  const write = (uploadId: UploadId, offset: number, text: string) => driver.uploadWrite({ uploadId, datastorePath: store.path, offset, data: Buffer.from(text).toString('base64') }, work());

  it('are written in order, and the same piece again changes nothing', async () => {
    const uploadId = UploadId.parse(newUuid());
    expect(await write(uploadId, 0, 'hello ')).toMatchObject({ ok: true, value: { sizeBytes: 6 } });
    expect(await write(uploadId, 6, 'world')).toMatchObject({ ok: true, value: { sizeBytes: 11 } });
    expect(await write(uploadId, 0, 'hello ')).toMatchObject({ ok: true, value: { sizeBytes: 11 } });
    expect(await write(uploadId, 12, 'hole')).toMatchObject({ ok: false, fault: { code: 'HOST_COMMAND_FAILED' } });
    expect(await readFile(join(store.path, '.staging', uploadId), 'utf8')).toBe('hello world');
    const piece = { uploadId, datastorePath: store.path, offset: 6, data: Buffer.from('world').toString('base64') };
    expect(await driver.effectOf('upload.write', piece)).toBe('done');
    expect(await driver.effectOf('upload.write', { ...piece, offset: 11 })).toBe('not-done');
    orThrow(await driver.uploadDiscard({ commandId: 'c', uploadId, datastorePath: store.path }, work()));
    orThrow(await driver.uploadDiscard({ commandId: 'c', uploadId, datastorePath: store.path }, work()));
    expect(await readdir(join(store.path, '.staging'))).toEqual([]);
  });

  it('do not follow a link', async () => {
    await withTextFile('untouched', async (victim) => {
      const uploadId = UploadId.parse(newUuid());
      await symlink(victim, join(store.path, '.staging', uploadId));
      expect(await write(uploadId, 0, 'changed')).toMatchObject({ ok: false });
      expect(await readFile(victim, 'utf8')).toBe('untouched');
    });
  });
});

describe('the files of a VM', () => {
  const specWith = (disks: HostVmSpec['disks']): HostVmSpec => ({
    ...HostVmSpec.parse({ vmId: newUuid(), name: 'vm', uid: 250_002, cpu: { sockets: 1, cores: 1, threads: 1 }, cpuService: {}, memoryBytes: 64 * MiB, memoryService: {}, firmware: 'bios', disks: [], nics: [] }), disks,
  });
  const disk = (place: ReturnType<TestDatastore['place']>, readOnly: boolean): HostVmSpec['disks'][number] =>
    ({ diskId: newUuid() as HostDisk['diskId'], slot: 0, bus: 'virtio', place, readOnly, bootIndex: null });

  it('belong to its uid, and what they stand on to the template group', async () => {
    const image = await store.image(store.place('images'), 8 * MiB, MiB);
    const place = store.place();
    orThrow(await driver.create({ commandId: 'c', place, sizeBytes: 8 * MiB, backing: image }, work()));
    orThrow(await driver.prepareForVm(specWith([disk(place, false)])));
    orThrow(await driver.prepareForVm(specWith([disk(place, false)])));
    const [own, base] = [await stat(store.file(place)), await stat(store.file(image))];
    expect([own.uid, own.mode & 0o777]).toEqual([250_002, 0o600]);
    expect([base.uid, base.gid, base.mode & 0o777]).toEqual([0, templateGid, 0o440]);
  });

  it('are never an image to write to, nor a link', async () => {
    const image = await store.image(store.place('images'), 8 * MiB, MiB);
    expect(await driver.prepareForVm(specWith([disk(image, false)]))).toMatchObject({ ok: false, fault: { code: 'INVALID_ARGUMENT' } });
    await withTextFile('victim', async (victim) => {
      const place = store.place();
      await symlink(victim, store.file(place));
      expect(await driver.prepareForVm(specWith([disk(place, false)]))).toMatchObject({ ok: false });
      expect((await stat(victim)).uid).toBe(0);
    });
  });
});
