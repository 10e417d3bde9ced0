// What lies on a datastore, whoever has put it there, and the quarantine for what nobody knows: a directory beside the volumes,
// into which a file moves by one rename and out of which it comes back the same way. Nothing is deleted that is not in it.
import { constants } from 'node:fs';
import { chmod, lstat, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { InputOf, ReplyOf, SurveyedFile, hostDatastoreSurvey, hostFileKeep, hostFilePurge, hostFileRelease } from '#contracts';
import { InUse } from '#contracts';
import type { Result } from '#kernel';
import { ok } from '#kernel';
import type { Effect } from '../drivers.ts';
import { codeOf, failedBecause, lookAt, pageOf, readMarker, statOf, syncDirectory } from './datastore.driver.ts';
import { headerBytes, parseQcow2 } from './image-header.ts';
import { backingRelativePath, classify, keptName, pathOfKept, quarantineDirectory } from './places.ts';
import { isInUse } from './qemu-img.driver.ts';

type Place = Pick<InputOf<typeof hostFileRelease>, 'datastoreId' | 'datastorePath' | 'path'>;
type Done = Result<Record<string, never>>;
const looked = ['volumes', 'images', '.staging'] as const;

async function entered(datastoreId: string, path: string): Promise<Result<void>> {
  const space = await lookAt(path);
  if (!space.ok) return space;
  return (await readMarker(path)) === datastoreId ? ok(undefined) : failedBecause(`${path} is not datastore ${datastoreId}`);
}

const namesIn = (directory: string): Promise<string[]> => readdir(directory).catch((error: unknown) => {
  if (codeOf(error) === 'ENOENT') return [];
  throw error;
});

export async function survey({ datastoreId, path, after }: InputOf<typeof hostDatastoreSurvey>): Promise<Result<ReplyOf<typeof hostDatastoreSurvey>>> {
  const there = await entered(datastoreId, path);
  if (!there.ok) return there;
  try {
    const found = (await Promise.all(looked.map(async (directory) => (await namesIn(join(path, directory))).map((name) => `${directory}/${name}`)))).flat();
    const inPlace = new Set(found);
    const kept = (await namesIn(quarantineDirectory(path))).flatMap((name) => pathOfKept(name) ?? []).filter((one) => !inPlace.has(one));
    const { page, next } = pageOf([...found, ...kept], after);
    const files = await Promise.all(page.map((one) => (inPlace.has(one) ? seen(one, join(path, one), false) : seen(one, keptFile(path, one), true))));
    return ok({ files: files.filter((file) => file !== null), next });
  } catch (error) {
    return failedBecause(`${path} cannot be listed (${codeOf(error)})`, error);
  }
}

/** Null = it is gone by now, or the agent's own look whether it can write. */
async function seen(path: string, file: string, kept: boolean): Promise<SurveyedFile | null> {
  const known = classify(path);
  if (known === null) return null;
  const stat = await statOf(file);
  // A directory or a link among the volumes is nothing of ours, whatever its name.
  if (stat === null) return (await isThere(file)) ? { path, kind: 'foreign', id: null, sizeBytes: 0, modifiedMs: 0, kept } : null;
  return { path, ...known, sizeBytes: stat.size, modifiedMs: Math.trunc(stat.mtimeMs), kept };
}

/** Whatever it is. */
const isThere = (file: string): Promise<boolean> => lstat(file).then(() => true, (error: unknown) => codeOf(error) !== 'ENOENT');

const keptFile = (store: string, path: string): string => join(quarantineDirectory(store), keptName(path));

export async function keep({ datastoreId, datastorePath, path, sizeBytes, modifiedMs }: InputOf<typeof hostFileKeep>): Promise<Done> {
  const there = await entered(datastoreId, datastorePath);
  if (!there.ok) return there;
  try {
    const file = join(datastorePath, path);
    const stat = await statOf(file);
    // Gone, or moved already: the next look says which.
    if (stat === null) return ok({});
    if (stat.size !== sizeBytes || Math.trunc(stat.mtimeMs) !== modifiedMs) return failedBecause(`${path} has changed since it was looked at`);
    if (await isInUse(file)) return InUse.fail(`${path} is open in a process of this host`, { by: [] });
    const over = await lyingOver(datastorePath, path);
    if (over !== null) return InUse.fail(`${over} lies over ${path}`, { by: [] });
    const quarantine = quarantineDirectory(datastorePath);
    await mkdir(quarantine, { recursive: true });
    await chmod(quarantine, 0o700);
    await rename(file, keptFile(datastorePath, path));
    await syncDirectory(quarantine);
    return ok({});
  } catch (error) {
    return failedBecause(`${path} could not be moved (${codeOf(error)})`, error);
  }
}

/** An image that has this file below it, read from its own header. */
async function lyingOver(store: string, path: string): Promise<string | null> {
  for (const directory of ['volumes', 'images']) {
    for (const name of (await namesIn(join(store, directory))).filter((one) => one.endsWith('.qcow2') && !one.startsWith('.'))) {
      const one = `${directory}/${name}`;
      if (one !== path && (await backingOf(store, one)) === path) return one;
    }
  }
  return null;
}

async function backingOf(store: string, path: string): Promise<string | null> {
  if ((await statOf(join(store, path))) === null) return null;
  const file = await open(join(store, path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ELOOP') return null;
    throw error;
  });
  if (file === null) return null;
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(headerBytes), 0, headerBytes, 0);
    const parsed = parseQcow2(buffer.subarray(0, bytesRead), (await file.stat()).size);
    return 'reason' in parsed || parsed.header.backingFile === null ? null : backingRelativePath(path, parsed.header.backingFile);
  } finally {
    await file.close();
  }
}

export async function release({ datastoreId, datastorePath, path }: InputOf<typeof hostFileRelease>): Promise<Done> {
  const there = await entered(datastoreId, datastorePath);
  if (!there.ok) return there;
  try {
    if ((await statOf(keptFile(datastorePath, path))) === null) return ok({});
    if (await isThere(join(datastorePath, path))) return failedBecause(`there is another ${path} by now`);
    await rename(keptFile(datastorePath, path), join(datastorePath, path));
    await syncDirectory(quarantineDirectory(datastorePath));
    return ok({});
  } catch (error) {
    return failedBecause(`${path} could not be moved back (${codeOf(error)})`, error);
  }
}

export async function purge({ datastoreId, datastorePath, path }: InputOf<typeof hostFilePurge>): Promise<Done> {
  const there = await entered(datastoreId, datastorePath);
  if (!there.ok) return there;
  try {
    await rm(keptFile(datastorePath, path), { force: true });
    await syncDirectory(quarantineDirectory(datastorePath)).catch((error: unknown) => { if (codeOf(error) !== 'ENOENT') throw error; });
    return ok({});
  } catch (error) {
    return failedBecause(`${path} could not be deleted (${codeOf(error)})`, error);
  }
}

/** For the probe of a command after a crash. */
export async function whereIs({ datastorePath, path }: Place): Promise<'there' | 'kept' | 'gone'> {
  if ((await statOf(keptFile(datastorePath, path))) !== null) return 'kept';
  return (await statOf(join(datastorePath, path))) === null ? 'gone' : 'there';
}
export const keptEffect = async (place: Place): Promise<Effect> => ((await whereIs(place)) === 'there' ? 'not-done' : 'done');
export const awayEffect = async (place: Place): Promise<Effect> => ((await whereIs(place)) === 'kept' ? 'not-done' : 'done');
