// Making, copying and removing volumes. Work happens in a draft and becomes a volume by getting its name in one instant;
// a crash leaves a whole volume or a draft that the next attempt removes.
import { constants } from 'node:fs';
import { copyFile, open } from 'node:fs/promises';
import type { InputOf, ReplyOf, VolumePlace, hostVolumeCopy, hostVolumeCreate, hostVolumeDelete } from '#contracts';
import { CommandCancelled, InUse } from '#contracts';
import type { Result } from '#kernel';
import { ok } from '#kernel';
import type { VolumeWork } from '../drivers.ts';
import { readChain } from './backing-chain.driver.ts';
import { badInput, checkSpace, codeOf, draftsOf, enter, failedBecause, publish, remove, statOf, syncDirectory } from './datastore.driver.ts';
import { backingReference, directoryOf, draftPath, recordPath, volumePath, whyNotPlace } from './places.ts';
import { convert, createImage, growImage, isInUse, measureCopy } from './qemu-img.driver.ts';

type Allocated = Result<{ allocatedBytes: number }>;
/** An empty qcow2 of the largest size needs less. */
const emptyImageBytes = 4 * 1024 * 1024;
const reflinkFileSystems = ['xfs', 'btrfs'];

const allocatedOf = async (place: VolumePlace): Promise<number | null> => {
  const stat = await statOf(volumePath(place));
  return stat === null ? null : stat.blocks * 512;
};

/** Runs `work` on a fresh draft and publishes it; whatever goes wrong, no draft stays. */
async function throughDraft(place: VolumePlace, commandId: string, signal: AbortSignal, work: (draft: string) => Promise<Result<unknown>>): Promise<Allocated> {
  const draft = draftPath(place, commandId);
  try {
    await remove(draft);
    // Made here, so that nobody else can read it at any moment.
    await (await open(draft, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600)).close();
    const done = await work(draft);
    if (!done.ok) return done;
    if (signal.aborted) return CommandCancelled.fail('cancelled');
    await publish(draft, volumePath(place));
    return ok({ allocatedBytes: (await allocatedOf(place)) ?? 0 });
  } catch (error) {
    return failedBecause(`${place.relativePath} could not be written (${codeOf(error)})`, error);
  } finally {
    await remove(draft);
  }
}

export async function createVolume({ commandId, place, sizeBytes, backing }: InputOf<typeof hostVolumeCreate>, work: VolumeWork): Promise<Allocated> {
  const space = await enter(place);
  if (!space.ok) return space;
  const there = await allocatedOf(place);
  if (there !== null) return existing(place, sizeBytes, there);
  const room = checkSpace(place.datastoreId, space.value, emptyImageBytes);
  if (!room.ok) return room;
  if (backing === null) {
    return throughDraft(place, commandId, work.signal, (draft) => (place.format === 'raw' ? makeSparse(draft, sizeBytes) : createImage(draft, place, sizeBytes, null, work)));
  }

  if (place.format !== 'qcow2') return badInput('place.format', 'a linked clone is always qcow2');
  if (backing.datastoreId !== place.datastoreId || backing.datastorePath !== place.datastorePath) return badInput('backing', 'a linked clone stays on the datastore of its image');
  const outside = whyNotPlace(backing);
  if (outside) return badInput('backing', outside);
  const chain = await readChain(backing);
  if (!chain.ok) return chain;
  if (sizeBytes < chain.value[0].virtualBytes) return badInput('sizeBytes', `smaller than the image, which has ${chain.value[0].virtualBytes} bytes`);
  const reference = backingReference(place, backing);
  return throughDraft(place, commandId, work.signal, (draft) => createImage(draft, place, sizeBytes, { reference, format: backing.format }, work));
}

/** The name is there: this very command was carried out before, or the caller mixes volumes up. */
async function existing(place: VolumePlace, sizeBytes: number, allocatedBytes: number): Promise<Allocated> {
  const chain = await readChain(place);
  if (!chain.ok) return chain;
  const [{ virtualBytes }] = chain.value;
  return virtualBytes === sizeBytes ? ok({ allocatedBytes }) : failedBecause(`${place.relativePath} exists already, with ${virtualBytes} bytes`);
}

async function makeSparse(draft: string, sizeBytes: number): Promise<Result<void>> {
  const file = await open(draft, constants.O_WRONLY);
  await file.truncate(sizeBytes).finally(() => file.close());
  return ok(undefined);
}

export async function copyVolume({ commandId, from, to, sizeBytes }: InputOf<typeof hostVolumeCopy>, work: VolumeWork): Promise<Allocated> {
  const source = await enter(from);
  if (!source.ok) return source;
  const space = await enter(to);
  if (!space.ok) return space;
  const there = await allocatedOf(to);
  if (there !== null) return existing(to, sizeBytes, there);
  const chain = await readChain(from);
  if (!chain.ok) return chain;
  const [{ virtualBytes }] = chain.value;
  if (sizeBytes < virtualBytes) return badInput('sizeBytes', `smaller than the source, which has ${virtualBytes} bytes`);
  const needed = await measureCopy(from, to, work);
  if (!needed.ok) return needed;
  const room = checkSpace(to.datastoreId, space.value, needed.value);
  if (!room.ok) return room;

  return throughDraft(to, commandId, work.signal, async (draft) => {
    const mayShare = chain.value.length === 1 && from.format === to.format && from.datastoreId === to.datastoreId && reflinkFileSystems.includes(space.value.fileSystem);
    const shared = mayShare && !(await isInUse(volumePath(from))) && (await reflink(volumePath(from), draft));
    if (!shared) {
      const copied = await convert({ from, to, draft, totalBytes: virtualBytes }, work);
      if (!copied.ok) return copied;
    }
    work.onProgress({ doneBytes: virtualBytes, totalBytes: virtualBytes });
    return sizeBytes > virtualBytes ? growImage(draft, to, sizeBytes, work) : ok('');
  });
}

/** Shares the blocks where the file system can; false where it cannot. */
async function reflink(from: string, draft: string): Promise<boolean> {
  try {
    await copyFile(from, draft, constants.COPYFILE_FICLONE_FORCE);
    return true;
  } catch (error) {
    if (['ENOTSUP', 'EOPNOTSUPP', 'EXDEV', 'EINVAL', 'ENOSYS'].includes(codeOf(error))) return false;
    throw error;
  }
}

export async function deleteVolume({ place }: InputOf<typeof hostVolumeDelete>): Promise<Result<ReplyOf<typeof hostVolumeDelete>>> {
  const space = await enter(place);
  if (!space.ok) return space;
  try {
    if (await isInUse(volumePath(place))) return InUse.fail(`${place.relativePath} is open in a process of this host`, { by: [] });
    for (const path of [volumePath(place), recordPath(place), ...(await draftsOf(place))]) await remove(path);
    await syncDirectory(directoryOf(place));
    return ok({});
  } catch (error) {
    return failedBecause(`${place.relativePath} could not be removed (${codeOf(error)})`, error);
  }
}
