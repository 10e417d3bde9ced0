// Where things lie in a directory datastore. Paths are made of ids alone; what a user wrote is never part of one.
import { createHash } from 'node:crypto';
import { basename, join, posix } from 'node:path';
import type { VolumePlace } from '#contracts';

const uuid = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';
const volumeFile = new RegExp(`^(volumes|images)/(${uuid})\\.(qcow2|raw)$`);

/** Says whose datastore a directory is; without it the file system is not mounted, or not ours. */
export const markerFile = (datastorePath: string): string => join(datastorePath, '.tokamak-datastore');
export const stagingDirectory = (datastorePath: string): string => join(datastorePath, '.staging');
export const uploadFile = (datastorePath: string, uploadId: string): string => join(stagingDirectory(datastorePath), uploadId);
/** How the files in the staging directory begin that an agent makes to see whether it can write. */
export const lookPrefix = '.probe-';
/** An upload that is being taken in: nobody writes to it any more. */
export const sealedFile = (datastorePath: string, uploadId: string): string => `${uploadFile(datastorePath, uploadId)}.sealed`;

export const volumePath = (place: VolumePlace): string => join(place.datastorePath, place.relativePath);
/** What was learned when an image was taken in. */
export const recordPath = (place: VolumePlace): string => `${volumePath(place)}.json`;

/** Unfinished work: never a volume's name, its own for each command, beside the final name so that links work. */
export function draftPath(place: VolumePlace, commandId: string): string {
  const own = createHash('sha256').update(commandId).digest('hex').slice(0, 16);
  return `${draftPrefix(place)}${own}.draft`;
}
export const draftPrefix = (place: VolumePlace): string => join(directoryOf(place), `.${basename(place.relativePath)}.`);
export const directoryOf = (place: VolumePlace): string => join(place.datastorePath, posix.dirname(place.relativePath));

export interface VolumeFile { readonly kind: 'volumes' | 'images'; readonly volumeId: string; readonly format: 'qcow2' | 'raw' }

/** The parts of a relative path; null when it is not a volume's. */
export function readRelativePath(relativePath: string): VolumeFile | null {
  const parts = volumeFile.exec(relativePath);
  return parts === null ? null : { kind: parts[1] as VolumeFile['kind'], volumeId: parts[2] ?? '', format: parts[3] as VolumeFile['format'] };
}

/** Why a place cannot be used; null when it can. */
export function whyNotPlace(place: VolumePlace): string | null {
  const file = readRelativePath(place.relativePath);
  if (file === null) return `${place.relativePath} is not a volume's path`;
  if (file.format !== place.format) return `${place.relativePath} does not end in the format ${place.format}`;
  return whyNotDatastorePath(place.datastorePath);
}
export const whyNotDatastorePath = (path: string): string | null =>
  (path.startsWith('/') && posix.normalize(path) === path && !path.includes('\0') && path !== '/' ? null : `${path} is not a plain absolute path`);

/**
 * The backing file's path below the same datastore, from the reference in an image's header; null when the reference
 * leaves the datastore or is not a volume's name. Only a relative reference is right: mount points differ between hosts.
 */
export function backingRelativePath(relativePath: string, reference: string): string | null {
  if (reference.startsWith('/') || reference.includes(':')) return null;
  const target = posix.join(posix.dirname(relativePath), reference);
  return readRelativePath(target) === null ? null : target;
}

/** How a clone in `from` names its backing file `to`. */
export const backingReference = (from: VolumePlace, to: VolumePlace): string => posix.relative(posix.dirname(from.relativePath), to.relativePath);

/** How far `qemu-img -p` is: the last percentage in what it wrote; null when there is none. */
export function percentOf(text: string): number | null {
  const all = [...text.matchAll(/\((\d+(?:\.\d+)?)\/100%\)/g)];
  const last = all.at(-1)?.[1];
  return last === undefined ? null : Math.min(100, Number(last));
}

// What nobody knows

export const quarantineDirectory = (datastorePath: string): string => join(datastorePath, '.quarantine');
/** A file's name in quarantine says where it was. */
export const keptName = (path: string): string => path.replace('/', '+');
export function pathOfKept(name: string): string | null {
  const parts = /^(volumes|images|\.staging)\+(.+)$/.exec(name);
  return parts === null ? null : `${parts[1] ?? ''}/${parts[2] ?? ''}`;
}

export interface FileKind { readonly kind: 'volume' | 'draft' | 'record' | 'upload' | 'foreign'; readonly id: string | null }
const names: readonly (readonly [RegExp, FileKind['kind']])[] = [
  [new RegExp(`^(?:volumes|images)/(${uuid})\\.(?:qcow2|raw)$`), 'volume'],
  [new RegExp(`^(?:volumes|images)/(${uuid})\\.(?:qcow2|raw)\\.json$`), 'record'],
  [new RegExp(`^(?:volumes|images)/\\.(${uuid})\\.(?:qcow2|raw)\\.[0-9a-f]{16}\\.draft$`), 'draft'],
  [new RegExp(`^\\.staging/(${uuid})(?:\\.sealed)?$`), 'upload'],
];

/** Whose a path is by its name; null = an agent that looks whether it can write, and nothing else. */
export function classify(path: string): FileKind | null {
  if (path.startsWith(`.staging/${lookPrefix}`)) return null;
  for (const [name, kind] of names) {
    const id = name.exec(path)?.[1];
    if (id !== undefined) return { kind, id };
  }
  return { kind: 'foreign', id: null };
}
