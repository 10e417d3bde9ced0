// A directory as datastore: whether it is there, whose it is, how much space it has. The first look is always made by a
// child process with a deadline, because a dead mount would otherwise hold a thread of the agent for ever.
import { constants } from 'node:fs';
import { chmod, link, lstat, mkdir, open, readdir, rename, rm, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import type { InputOf, ReplyOf, VolumePlace, hostDatastoreProbe, hostDatastoreScan } from '#contracts';
import { DatastoreFull, filesPerPage, HostCommandFailed, InvalidArgument, VolumeId } from '#contracts';
import type { Result } from '#kernel';
import { newUuid, ok } from '#kernel';
import { reasonOf, runCommand, succeeded } from '../run-command.ts';
import { directoryOf, draftPrefix, lookPrefix, markerFile, readRelativePath, stagingDirectory, whyNotDatastorePath, whyNotPlace } from './places.ts';

export interface Space { readonly totalBytes: number; readonly freeBytes: number; readonly fileSystem: string }
const Marker = z.object({ datastoreId: z.string() });
const lookDeadlineMs = 8_000;
/** Kept free for metadata, the journal of the file system and other writers. */
const reserveBytes = 16 * 1024 * 1024;
/** No look takes so long. */
const leftAfterMs = 600_000;

export const failedBecause = (reason: string, cause?: unknown) => HostCommandFailed.fail(reason, { reason }, cause);
export const badInput = (path: string, message: string) => InvalidArgument.fail(message, { issues: [{ path, message }] });
export const codeOf = (error: unknown): string => (typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '');

export async function lookAt(path: string): Promise<Result<Space>> {
  const wrong = whyNotDatastorePath(path);
  if (wrong) return badInput('datastorePath', wrong);
  const argv = ['stat', '--file-system', '--format=%S %b %a %T', '--', path];
  const outcome = await runCommand(argv, { deadlineMs: lookDeadlineMs });
  if (outcome.ended === 'deadline') return failedBecause(`${path} does not answer: its file system hangs`);
  if (!succeeded(outcome)) return failedBecause(reasonOf(argv, outcome));
  const [block = '0', total = '0', free = '0', ...type] = outcome.stdout.trim().split(' ');
  return ok({ totalBytes: Number(block) * Number(total), freeBytes: Number(block) * Number(free), fileSystem: type.join(' ') });
}

/** The id in the marker; null when there is none. */
export async function readMarker(path: string): Promise<string | null> {
  try {
    const file = await open(markerFile(path), constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      return Marker.parse(JSON.parse(await file.readFile('utf8'))).datastoreId;
    } finally {
      await file.close();
    }
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
}

/** The space of the datastore a place is in, once it is sure that it is that datastore. */
export async function enter(place: VolumePlace): Promise<Result<Space>> {
  const wrong = whyNotPlace(place);
  if (wrong) return badInput('place', wrong);
  const space = await lookAt(place.datastorePath);
  if (!space.ok) return space;
  const marker = await readMarker(place.datastorePath);
  if (marker === place.datastoreId) return space;
  return failedBecause(marker === null ? `${place.datastorePath} has no datastore on it; is it mounted?` : `${place.datastorePath} holds datastore ${marker}, not ${place.datastoreId}`);
}

export function checkSpace(datastoreId: string, space: Space, neededBytes: number): Result<void> {
  const needed = neededBytes + reserveBytes;
  if (space.freeBytes >= needed) return ok(undefined);
  return DatastoreFull.fail(`${needed} bytes are needed, ${space.freeBytes} are free`, { datastoreId, freeBytes: space.freeBytes, neededBytes: needed });
}

export async function probe({ datastoreId, path, initialise }: InputOf<typeof hostDatastoreProbe>): Promise<Result<ReplyOf<typeof hostDatastoreProbe>>> {
  const space = await lookAt(path);
  if (!space.ok) return space;
  try {
    if (initialise) await makeLayout(path, datastoreId);
    const marker = await readMarker(path);
    if (marker !== null) await checkWritable(path);
    return ok({ ...space.value, marker });
  } catch (error) {
    return failedBecause(`${path} cannot serve as datastore (${codeOf(error) || 'its marker is not readable'})`, error);
  }
}

/** The marker comes last and whole: a directory with a marker has everything. An existing marker stays. */
async function makeLayout(path: string, datastoreId: string): Promise<void> {
  for (const [name, mode] of [['volumes', 0o711], ['images', 0o711], ['.staging', 0o700]] as const) {
    await mkdir(join(path, name), { recursive: true });
    await chmod(join(path, name), mode); // whatever the umask: VMs pass through, and list nothing
  }
  if ((await readMarker(path)) !== null) return;
  await withOwnFile(path, JSON.stringify({ datastoreId }), 0o644, async (draft) => {
    // Two hosts may do this at once: link, unlike rename, lets the first one win.
    await link(draft, markerFile(path)).catch((error: unknown) => { if (codeOf(error) !== 'EEXIST') throw error; });
  });
  await syncDirectory(path);
}

/** Removes too what looks that died have left: by the clock of the file system, which may be another machine's. */
const checkWritable = (path: string): Promise<void> => withOwnFile(path, 'x', 0o600, async (own) => {
  const { mtimeMs: now } = await lstat(own);
  for (const name of await readdir(stagingDirectory(path))) {
    const file = join(stagingDirectory(path), name);
    if (name.startsWith(lookPrefix) && now - ((await statOf(file))?.mtimeMs ?? now) > leftAfterMs) await remove(file);
  }
});

/** A file that nobody else has, however many look at the datastore at once, here and on other hosts; gone when `use` has ended. */
async function withOwnFile(path: string, text: string, mode: number, use: (file: string) => Promise<void>): Promise<void> {
  const file = join(stagingDirectory(path), `${lookPrefix}${newUuid()}`);
  try {
    await writeDurably(file, text, mode);
    await use(file);
  } finally {
    await remove(file);
  }
}

/** The first paths after one, in order. Each page is of a new listing: what comes or goes meanwhile is seen or not, all else once. */
export function pageOf(paths: readonly string[], after: string): { readonly page: readonly string[]; readonly next: string | null } {
  const left = paths.filter((path) => path > after).sort();
  const page = left.slice(0, filesPerPage);
  return { page, next: left.length > page.length ? page.at(-1)! : null };
}

export async function scan({ path, after }: InputOf<typeof hostDatastoreScan>): Promise<Result<ReplyOf<typeof hostDatastoreScan>>> {
  const space = await lookAt(path);
  if (!space.ok) return space;
  try {
    const found = await Promise.all(['volumes', 'images'].map(async (kind) => (await readdir(join(path, kind))).map((name) => `${kind}/${name}`)));
    const { page, next } = pageOf(found.flat(), after);
    const files = await Promise.all(page.map(async (relativePath) => {
      const volume = readRelativePath(relativePath);
      const stat = volume === null ? null : await statOf(join(path, relativePath));
      return volume === null || stat === null ? [] : [{ relativePath, volumeId: VolumeId.parse(volume.volumeId), allocatedBytes: stat.blocks * 512 }];
    }));
    return ok({ files: files.flat(), next });
  } catch (error) {
    return failedBecause(`${path} cannot be listed (${codeOf(error)})`, error);
  }
}

/** A plain file's status; null when there is none, or when it is something else (a link, a device). */
export async function statOf(path: string) {
  try {
    const stat = await lstat(path);
    return stat.isFile() ? stat : null;
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return null;
    throw error;
  }
}

export async function writeDurably(path: string, text: string, mode: number): Promise<void> {
  const file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW, mode);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

/**
 * Gives finished work its name: the data is on disk before the name is. A volume that has the name already stays as it
 * is. After a crash there is either a draft or a whole volume.
 */
export async function publish(draft: string, path: string): Promise<void> {
  const file = await open(draft, constants.O_RDONLY | constants.O_NOFOLLOW);
  await file.sync().finally(() => file.close());
  try {
    await link(draft, path);
    await unlink(draft);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') await unlink(draft);
    else if (['EPERM', 'ENOTSUP', 'EOPNOTSUPP'].includes(codeOf(error))) await rename(draft, path); // a file system without hard links
    else throw error;
  }
  await syncDirectory(dirname(path));
}

export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  await directory.sync().finally(() => directory.close());
}

/** Drafts of a volume, of whatever command. */
export async function draftsOf(place: VolumePlace): Promise<string[]> {
  const directory = directoryOf(place);
  const prefix = draftPrefix(place);
  const names = await readdir(directory).catch((error: unknown) => { if (codeOf(error) === 'ENOENT') return []; throw error; });
  return names.map((name) => join(directory, name)).filter((path) => path.startsWith(prefix));
}

export const remove = (path: string): Promise<void> => rm(path, { force: true });
