// The tasks of images: import makes storage check the uploaded bytes, delete gives volume and upload back to storage.
// The image's own row changes only in the transactions that begin and end a task.
import type { EntityManager } from 'typeorm';
import { discardImageVolume, discardUpload, imageChanged, imageDeleted, ingestVolume, InUse, openUpload } from '#contracts';
import type { DatastoreId, FolderId, Image, ImageId, UploadId, UserId, VolumeId } from '#contracts';
import { defineTask, emit } from '#tasks';
import type { TaskInfo } from '#tasks';
import { changeImage, deleteImageRow, findImage } from './image.store.ts';

export interface ImportImage {
  readonly imageId: ImageId;
  /** Made when the task began, so that a repetition finds the first volume. */
  readonly volumeId: VolumeId;
  readonly uploadId: UploadId;
  readonly datastoreId: DatastoreId;
  readonly name: string;
  readonly format: Image['format'];
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly ownerId: UserId | null;
  readonly folderId: FolderId | null;
}
interface Ingested { readonly virtualBytes: number; readonly sha256: string }

export const importImageTask = defineTask<ImportImage>({
  kind: 'templates.image.import',
  object: 'image',
  steps: [{
    name: 'ingest',
    run: async (ctx): Promise<Ingested> => {
      const { volumeId, uploadId, imageId, name, format, sizeBytes, sha256, ownerId, folderId } = ctx.input;
      const { output } = await ctx.child(ingestVolume, { volumeId, uploadId, imageId, name, format, sizeBytes, sha256, ownerId, folderId });
      return output as Ingested;
    },
    undo: async (ctx) => {
      const { volumeId, uploadId, datastoreId } = ctx.input;
      await ctx.child(discardImageVolume, { volumeId }, { part: 'volume' });
      // Storage ends an upload with its success; the image is to take bytes again.
      await ctx.request(openUpload, { uploadId, datastoreId, sizeBytes: null }, { part: 'upload' });
    },
  }],
  onFinished: async (tx, outcome) => {
    const { state, input, task, error } = outcome;
    const ingested = outcome.output<Ingested>('ingest');
    if (state === 'succeeded' && ingested !== undefined) {
      await changeImage(tx, input.imageId, { state: 'ready', reason: null, sha256: ingested.sha256, virtualBytes: ingested.virtualBytes, volumeId: input.volumeId, uploadId: null });
    } else {
      const cancelled = state === 'cancelled';
      await changeImage(tx, input.imageId, { state: cancelled ? 'awaiting-upload' : 'failed', reason: cancelled ? null : (error?.detail ?? 'the import failed').slice(0, 1000), sha256: null, sizeBytes: null });
    }
    await announce(tx, input.imageId, task);
  },
});

export interface DeleteImage {
  readonly imageId: ImageId;
  readonly name: string;
  readonly volumeId: VolumeId | null;
  readonly uploadId: UploadId | null;
  readonly before: Image['state'];
}

export const deleteImageTask = defineTask<DeleteImage>({
  kind: 'templates.image.delete',
  object: 'image',
  steps: [
    {
      name: 'delete-volume',
      why: 'First: storage refuses it while linked clones lie over the volume, and then nothing has happened.',
      run: async (ctx) => {
        if (ctx.input.volumeId !== null) await ctx.child(discardImageVolume, { volumeId: ctx.input.volumeId });
        return {};
      },
      // Begun and not finished: nobody can say that the volume is whole.
      undo: (ctx) => ctx.tx((tx) => changeImage(tx, ctx.input.imageId, { state: 'failed', reason: 'its deletion did not end; delete it again' })),
    },
    {
      name: 'discard-upload',
      noReturn: true,
      run: async (ctx) => {
        if (ctx.input.uploadId !== null) await ctx.request(discardUpload, { uploadId: ctx.input.uploadId });
        return {};
      },
    },
  ],
  onFinished: async (tx, { state, input, task, error }) => {
    const image = await findImage(tx, input.imageId);
    if (image === undefined) return;
    if (state === 'succeeded') {
      await deleteImageRow(tx, image.id);
      await emit(tx, imageDeleted, { objectId: image.id, actor: task.actor, traceId: task.traceId, taskId: task.id, data: { imageId: image.id, name: image.name } });
      return;
    }
    const untouched = image.state === 'deleting' || error?.code === InUse.code;
    await changeImage(tx, image.id, untouched && state !== 'needs-attention' ? { state: input.before, reason: null } : { state: 'failed', reason: 'its deletion did not end; delete it again' });
    await announce(tx, image.id, task);
  },
});

async function announce(tx: EntityManager, imageId: ImageId, task: TaskInfo): Promise<void> {
  const image = await findImage(tx, imageId);
  if (image !== undefined) await emit(tx, imageChanged, { objectId: imageId, actor: task.actor, traceId: task.traceId, taskId: task.id, data: { image } });
}
