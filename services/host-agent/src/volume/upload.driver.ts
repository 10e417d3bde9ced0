// Uploads on their way in: pieces written to a staging file that nothing else refers to. Pieces come in order, without
// holes; the same piece again writes the same bytes again.
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { InputOf, ReplyOf, hostUploadDiscard, hostUploadWrite } from '#contracts';
import type { Result } from '#kernel';
import { ok } from '#kernel';
import { writeAll } from '../journal/journal.store.ts';
import { checkSpace, codeOf, failedBecause, lookAt, readMarker, remove, statOf } from './datastore.driver.ts';
import { sealedFile, uploadFile } from './places.ts';

/** Also refuses links and everything that is not a plain file of one name. */
export async function openUpload(path: string, flags: number) {
  const file = await open(path, flags | constants.O_NOFOLLOW | constants.O_NONBLOCK, 0o600);
  const stat = await file.stat();
  if (stat.isFile() && stat.nlink === 1) return { file, size: stat.size };
  await file.close();
  throw Object.assign(new Error('not a plain file'), { code: 'EINVAL' });
}

export async function writeUpload({ uploadId, datastorePath, offset, data }: InputOf<typeof hostUploadWrite>): Promise<Result<ReplyOf<typeof hostUploadWrite>>> {
  const space = await lookAt(datastorePath);
  if (!space.ok) return space;
  const datastoreId = await readMarker(datastorePath);
  if (datastoreId === null) return failedBecause(`${datastorePath} has no datastore on it; is it mounted?`);
  const bytes = Buffer.from(data, 'base64');
  const room = checkSpace(datastoreId, space.value, bytes.length);
  if (!room.ok) return room;
  try {
    if ((await statOf(sealedFile(datastorePath, uploadId))) !== null) return failedBecause('the upload is complete and is being taken in');
    const { file, size } = await openUpload(uploadFile(datastorePath, uploadId), constants.O_RDWR | constants.O_CREAT);
    try {
      if (offset > size) return failedBecause(`a piece at ${offset} would leave a hole: the upload has ${size} bytes`);
      await writeAll(file, bytes, offset);
      return ok({ sizeBytes: Math.max(size, offset + bytes.length) });
    } finally {
      await file.close();
    }
  } catch (error) {
    return failedBecause(`the upload could not be written (${codeOf(error)})`, error);
  }
}

export async function discardUpload({ uploadId, datastorePath }: InputOf<typeof hostUploadDiscard>): Promise<Result<ReplyOf<typeof hostUploadDiscard>>> {
  const space = await lookAt(datastorePath);
  if (!space.ok) return space;
  try {
    await remove(uploadFile(datastorePath, uploadId));
    await remove(sealedFile(datastorePath, uploadId));
    return ok({});
  } catch (error) {
    return failedBecause(`the upload could not be removed (${codeOf(error)})`, error);
  }
}
