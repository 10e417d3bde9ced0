// The quarantine of a datastore on real files: what is seen, what moves, what is refused, and that every move can be repeated.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { VolumePlace } from '#contracts';
import { newUuid, orThrow } from '#kernel';
import { until } from '#testing';
import type { VolumeDriver } from '../drivers.ts';
import { isInUse } from './qemu-img.driver.ts';
import { createVolumeDriver } from './volume.driver.ts';
import { MiB, TestDatastore, work } from './volume.testing.ts';

let driver: VolumeDriver;
let store: TestDatastore;
beforeAll(async () => {
  driver = createVolumeDriver({ templateGid: 199_999 });
  store = await TestDatastore.make(driver);
});
afterAll(() => store.remove());

const survey = async () => orThrow(await driver.survey({ datastoreId: store.datastoreId, path: store.path }, work())).files;
const seen = async (path: string) => (await survey()).find((file) => file.path === path);
const at = (path: string) => ({ commandId: newUuid(), datastoreId: store.datastoreId, datastorePath: store.path, path });
const keep = async (path: string) => {
  const { sizeBytes = 0, modifiedMs = 0 } = (await seen(path)) ?? {};
  return driver.keep({ ...at(path), sizeBytes, modifiedMs }, work());
};
const codeOf = (answer: { ok: boolean; fault?: { code: string } }): string => (answer.ok ? 'OK' : (answer.fault?.code ?? ''));
const make = async (over: Partial<VolumePlace> = {}): Promise<VolumePlace> => store.image({ ...store.place(), ...over }, 4 * MiB, MiB);
const textOf = (path: string): string => readFileSync(join(store.path, path), 'latin1');

describe('a survey', () => {
  it('names each file by what it is, and leaves the agent’s own looks out', async () => {
    const { relativePath, volumeId } = await make();
    const [upload, draftOf] = [newUuid(), newUuid()];
    const own = { [`.staging/${upload}`]: 'upload', [`.staging/${upload}.sealed`]: 'upload', [`volumes/.${draftOf}.qcow2.0123456789abcdef.draft`]: 'draft', [`images/${draftOf}.qcow2.json`]: 'record', 'volumes/notes.txt': 'foreign', 'volumes/x.qcow2': 'foreign' };
    for (const path of [...Object.keys(own), '.staging/.probe-17']) writeFileSync(join(store.path, path), path);
    mkdirSync(join(store.path, 'volumes', `${newUuid()}.qcow2`));
    const files = await survey();
    expect(files.find(({ path }) => path === relativePath)).toMatchObject({ kind: 'volume', id: volumeId, kept: false });
    expect(Object.fromEntries(files.filter(({ path }) => path in own).map(({ path, kind }) => [path, kind]))).toEqual(own);
    expect(files.filter(({ kind }) => kind === 'foreign')).toHaveLength(3);
    expect(files.some(({ path }) => path.includes('.probe'))).toBe(false);
    expect(codeOf(await driver.survey({ datastoreId: newUuid() as typeof store.datastoreId, path: store.path }, work()))).toBe('HOST_COMMAND_FAILED');
  });
});

describe('a file that nobody knows', () => {
  it('moves into quarantine with every byte, comes back, and is deleted only out of it', async () => {
    const { relativePath } = await make();
    const before = [textOf(relativePath), (await seen(relativePath))?.modifiedMs];
    expect(codeOf(await driver.purge(at(relativePath), work()))).toBe('OK');
    expect(textOf(relativePath)).toBe(before[0]);
    for (let time = 0; time < 2; time++) {
      expect(codeOf(await keep(relativePath))).toBe('OK');
      expect(await seen(relativePath)).toMatchObject({ kind: 'volume', kept: true, modifiedMs: before[1] });
    }
    for (let time = 0; time < 2; time++) expect(codeOf(await driver.release(at(relativePath), work()))).toBe('OK');
    expect([textOf(relativePath), (await seen(relativePath))?.kept]).toEqual([before[0], false]);
    await keep(relativePath);
    for (let time = 0; time < 2; time++) expect(codeOf(await driver.purge(at(relativePath), work()))).toBe('OK');
    expect(await seen(relativePath)).toBeUndefined();
  });

  it('that has changed since it was looked at, that a process has open or an image lies over, stays', async () => {
    const [changed, open, below] = [await make(), await make(), await make()];
    expect(await driver.keep({ ...at(changed.relativePath), sizeBytes: 1, modifiedMs: 1 }, work())).toMatchObject({ ok: false, fault: { code: 'HOST_COMMAND_FAILED' } });

    const over = store.place();
    orThrow(await driver.create({ commandId: newUuid(), place: over, sizeBytes: 4 * MiB, backing: below }, work()));
    expect(await keep(below.relativePath)).toMatchObject({ ok: false, fault: { code: 'IN_USE', detail: `${over.relativePath} lies over ${below.relativePath}` } });

    const qemu = spawn('qemu-system-x86_64', ['-machine', 'none', '-display', 'none', '-nodefaults', '-S', '-blockdev', `driver=qcow2,node-name=d,file.driver=file,file.filename=${store.file(open)},file.locking=on`, '-monitor', 'none'], { stdio: 'ignore' });
    const ended = new Promise((resolve) => qemu.once('exit', resolve));
    await until('QEMU has the image open', () => isInUse(store.file(open)));
    expect(await keep(open.relativePath)).toMatchObject({ ok: false, fault: { code: 'IN_USE' } });
    qemu.kill('SIGKILL');
    await ended;
    for (const place of [changed, open, below]) expect(await seen(place.relativePath)).toMatchObject({ kept: false });
  });

  it('does not come back over another one of its name', async () => {
    const { relativePath } = await make();
    await keep(relativePath);
    writeFileSync(join(store.path, relativePath), 'another');
    expect(codeOf(await driver.release(at(relativePath), work()))).toBe('HOST_COMMAND_FAILED');
    expect(textOf(relativePath)).toBe('another');
    // Two of one name: the one that is in its place is what the survey tells of.
    expect(await seen(relativePath)).toMatchObject({ kept: false, sizeBytes: 7 });
  });
});

it('after a crash a probe tells where the file is', async () => {
  const { relativePath } = await make();
  const input = { ...at(relativePath), sizeBytes: 1, modifiedMs: 1 };
  const effects = async () => [await driver.effectOf('file.keep', input), await driver.effectOf('file.release', at(relativePath)), await driver.effectOf('file.purge', at(relativePath))];
  expect(await effects()).toEqual(['not-done', 'done', 'done']);
  await keep(relativePath);
  expect(await effects()).toEqual(['done', 'not-done', 'not-done']);
  const name = readdirSync(join(store.path, '.quarantine')).find((one) => relativePath.endsWith(one.slice('volumes+'.length)))!;
  renameSync(join(store.path, '.quarantine', name), join(store.path, relativePath));
  expect(await effects()).toEqual(['not-done', 'done', 'done']);
});
