// Follows an image to its backing files by our own reading of the headers, before QEMU opens anything: a compromised guest
// process can write its own image's header, and must not make a root process read another file.
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { VolumePlace } from '#contracts';
import { NotFoundOnHost } from '#contracts';
import type { Result } from '#kernel';
import { ok } from '#kernel';
import { codeOf, failedBecause } from './datastore.driver.ts';
import { headerBytes, parseQcow2 } from './image-header.ts';
import { backingRelativePath, readRelativePath, volumePath } from './places.ts';

export interface ChainLink { readonly place: VolumePlace; readonly virtualBytes: number }
const maxDepth = 16;

/** The image itself first, then what it stands on. Every one is a volume of the same datastore. */
export async function readChain(top: VolumePlace): Promise<Result<[ChainLink, ...ChainLink[]]>> {
  const first = await readLink(top);
  if (!first.ok) return first;
  const chain: [ChainLink, ...ChainLink[]] = [first.value.link];
  let next = first.value.backing;
  while (next !== null) {
    if (chain.length >= maxDepth) return failedBecause(`${top.relativePath} stands on more than ${maxDepth} images`);
    const below = await readLink(next);
    if (!below.ok) return below;
    chain.push(below.value.link);
    next = below.value.backing;
  }
  return ok(chain);
}

async function readLink(place: VolumePlace): Promise<Result<{ link: ChainLink; backing: VolumePlace | null }>> {
  const start = await readStart(place);
  if (!start.ok) return start;
  if (place.format === 'raw') return ok({ link: { place, virtualBytes: start.value.size }, backing: null });
  const parsed = parseQcow2(start.value.bytes, start.value.size);
  if ('reason' in parsed) return failedBecause(`${place.relativePath}: ${parsed.reason}`);
  const { virtualBytes, backingFile, backingFormat, externalData, unknownIncompatible } = parsed.header;
  if (externalData || unknownIncompatible) return failedBecause(`${place.relativePath} refers to data outside or uses unknown features; it was not made here`);
  if (backingFile === null) return ok({ link: { place, virtualBytes }, backing: null });

  const relativePath = backingRelativePath(place.relativePath, backingFile);
  const below = relativePath === null ? null : readRelativePath(relativePath);
  if (relativePath === null || below === null || below.format !== backingFormat) {
    return failedBecause(`${place.relativePath} stands on something that is not a volume of its datastore`);
  }
  return ok({ link: { place, virtualBytes }, backing: { ...place, volumeId: place.volumeId, relativePath, format: below.format } });
}

async function readStart(place: VolumePlace): Promise<Result<{ bytes: Buffer; size: number }>> {
  try {
    const file = await open(volumePath(place), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const stat = await file.stat();
      if (!stat.isFile()) return failedBecause(`${place.relativePath} is not a plain file`);
      const { buffer, bytesRead } = await file.read(Buffer.alloc(headerBytes), 0, headerBytes, 0);
      return ok({ bytes: buffer.subarray(0, bytesRead), size: stat.size });
    } finally {
      await file.close();
    }
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return NotFoundOnHost.fail(`${place.relativePath} is not on datastore ${place.datastoreId}`, { noun: 'volume', id: place.volumeId });
    return failedBecause(`${place.relativePath} cannot be read (${codeOf(error)})`, error);
  }
}
