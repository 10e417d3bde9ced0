// The quarantine of a datastore on real files: what is seen, what moves, what is refused, and that every move can be repeated.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { VolumePlace } from '#contracts';
import { filesPerPage, hostDatastoreSurvey } from '#contracts';
import type { Result } from '#kernel';
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

const page = async (after: string) => orThrow(await driver.survey({ datastoreId: store.datastoreId, path: store.path, after }, work()));
const survey = async () => (await page('')).files;
async function allPages<T>(ask: (after: string) => Promise<Result<{ readonly files: readonly T[]; readonly next: string | null }>>, between: (told: number) => void = () => undefined): Promise<(readonly T[])[]> {
  const pages: (readonly T[])[] = [];
  for (let after: string | null = ''; after !== null;) {
    const told: { readonly files: readonly T[]; readonly next: string | null } = orThrow(await ask(after));
    pages.push(told.files);
    after = told.next;
    between(pages.length);
  }
  return pages;
}
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
    expect(codeOf(await driver.survey({ datastoreId: newUuid() as typeof store.datastoreId, path: store.path, after: '' }, work()))).toBe('HOST_COMMAND_FAILED');
  });
});

describe('a survey of more than one message holds', () => {
  it('is told page by page, every file once and where it is, also while files come and go', async () => {
    const many = await TestDatastore.make(driver);
    const ids = Array.from({ length: 2 * filesPerPage + 1 }, () => newUuid()).sort();
    for (const [index, id] of ids.entries()) writeFileSync(join(many.path, index % 3 === 0 ? 'images' : 'volumes', `${id}.qcow2`), '');
    mkdirSync(join(many.path, '.quarantine'));
    const kept = newUuid();
    writeFileSync(join(many.path, '.quarantine', `volumes+${kept}.qcow2`), '');
    const pages = await allPages((after) => driver.survey({ datastoreId: many.datastoreId, path: many.path, after }, work()), (told) => {
      writeFileSync(join(many.path, 'images', `${newUuid()}.tmp`), ''); // before all that is still to be told, and after
      writeFileSync(join(many.path, 'volumes', `z${told}`), '');
    });
    const files = pages.flat();
    const told = files.map(({ path }) => path);
    expect(new Set(told).size).toBe(told.length);
    expect(files.filter(({ kind }) => kind === 'volume').map(({ id }) => id).sort()).toEqual([...ids, kept].sort());
    expect(files.filter((file) => file.kept).map(({ path }) => path)).toEqual([`volumes/${kept}.qcow2`]);
    expect(pages.slice(0, 2).map((one) => one.length)).toEqual([filesPerPage, filesPerPage]);
    const scanned = (await allPages((after) => driver.scan({ path: many.path, after }, work()))).flat();
    expect(scanned.map(({ volumeId }) => volumeId).sort()).toEqual(ids);
    await many.remove();
  });

  it('takes a name as long as the file system does', async () => {
    const name = 'n'.repeat(255);
    writeFileSync(join(store.path, 'volumes', name), '');
    expect(hostDatastoreSurvey.reply.safeParse(await page('')).error).toBeUndefined();
    expect(await seen(`volumes/${name}`)).toMatchObject({ kind: 'foreign' });
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
