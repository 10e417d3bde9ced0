// What may be done with images. The bytes are storage's; the image is what people know of them.
import { Inject, Injectable } from '@nestjs/common';
import type { DataSource, EntityManager } from 'typeorm';
import type { BusClient, BusContext } from '#bus';
import { createImage, deleteImage, getDatastore, imageChanged, importImage, InUse, openUpload, PermissionDenied, WrongState } from '#contracts';
import type { DatastoreId, Image, ImageId, InputOf, listImages, ReplyOf, TaskRef, UploadId, VolumeId } from '#contracts';
import { allowed, mayAccess, whoOf } from '#database';
import { FaultError, newUuid, orThrow } from '#kernel';
import type { Result } from '#kernel';
import { Bus, Db, foldersMeant, folderStands, Tasks } from '#service';
import { emit, runCommand } from '#tasks';
import type { TaskEngine } from '#tasks';
import { deleteImageTask, importImageTask } from './image.task.ts';
import { changeImage, findImage, insertImage, listImages as listRows, lockImage, placeImage, templatesOf } from './image.store.ts';
import type { ImageFilter } from './image.store.ts';

const about = (id: string) => ({ noun: 'image', id, read: 'image.read' }) as const;
/** States in which an image takes bytes. */
const open: readonly Image['state'][] = ['awaiting-upload', 'failed'];

@Injectable()
export class ImageService {
  constructor(@Inject(Db) private readonly db: DataSource, @Inject(Bus) private readonly bus: BusClient, @Inject(Tasks) private readonly tasks: TaskEngine) {}

  create(input: InputOf<typeof createImage>, ctx: BusContext): Promise<Result<Image>> {
    const ids = { imageId: newUuid() as ImageId, uploadId: newUuid() as UploadId };
    return runCommand(this.db, { ctx, operation: createImage, input }, async (tx) => {
      if (!mayAccess(whoOf(ctx), 'image.write', { folderId: input.folderId })) {
        throw new FaultError(PermissionDenied.fault('You lack the right image.write in this folder.', { permission: 'image.write' }));
      }
      orThrow(await folderStands(this.bus, input.folderId));
      await insertImage(tx, { id: ids.imageId, uploadId: ids.uploadId, name: input.name, description: input.description, format: input.format, ownerId: ctx.actor?.userId ?? null, folderId: input.folderId });
      await placeImage(tx, ids.imageId, await this.openUpload(ids, input.datastoreId ?? null, ctx));
      return this.announce(tx, ids.imageId, ctx);
    });
  }

  import(input: InputOf<typeof importImage>, ctx: BusContext): Promise<Result<TaskRef>> {
    return runCommand(this.db, { ctx, operation: importImage, input }, async (tx) => {
      const image = orThrow(allowed(whoOf(ctx), 'image.write', await lockImage(tx, input.imageId, 'update'), about(input.imageId)));
      const { uploadId } = image;
      if (!open.includes(image.state) || uploadId === null) {
        throw new FaultError(WrongState.fault(`The image is ${image.state}.`, { state: image.state, allowed: [...open] }));
      }
      const ref = await this.tasks.start(tx, importImageTask, {
        objectId: image.id, objectName: image.name, ctx, ownerId: image.ownerId, lock: [{ noun: 'image', id: image.id }],
        input: {
          imageId: image.id, volumeId: newUuid() as VolumeId, uploadId, datastoreId: image.datastoreId, name: image.name, format: image.format,
          sizeBytes: input.sizeBytes, sha256: input.sha256, ownerId: image.ownerId, folderId: image.folderId,
        },
      });
      await changeImage(tx, image.id, { state: 'importing', reason: null, sizeBytes: input.sizeBytes });
      await this.announce(tx, image.id, ctx, ref.taskId);
      return ref;
    });
  }

  delete(input: InputOf<typeof deleteImage>, ctx: BusContext): Promise<Result<TaskRef>> {
    return runCommand(this.db, { ctx, operation: deleteImage, input }, async (tx) => {
      const image = orThrow(allowed(whoOf(ctx), 'image.write', await lockImage(tx, input.imageId, 'update'), about(input.imageId)));
      const by = (await templatesOf(tx, image.id)).map((id) => ({ noun: 'template', id }));
      if (by.length > 0) throw new FaultError(InUse.fault('Templates are made from the image.', { by }));
      const ref = await this.tasks.start(tx, deleteImageTask, {
        objectId: image.id, objectName: image.name, ctx, ownerId: image.ownerId, lock: [{ noun: 'image', id: image.id }],
        input: { imageId: image.id, name: image.name, volumeId: image.volumeId, uploadId: image.uploadId, before: image.state },
      });
      await changeImage(tx, image.id, { state: 'deleting' });
      await this.announce(tx, image.id, ctx, ref.taskId);
      return ref;
    });
  }

  async list(input: ImageFilter, ctx: BusContext): Promise<Result<ReplyOf<typeof listImages>>> {
    const folders = await foldersMeant(this.bus, input);
    return folders.ok ? listRows(this.db, whoOf(ctx), { ...input, folderIds: folders.value }) : folders;
  }

  async get(imageId: ImageId, ctx: BusContext): Promise<Result<Image>> {
    return allowed(whoOf(ctx), 'image.read', await findImage(this.db, imageId), about(imageId));
  }

  /** A death before the commit leaves an upload that storage ends after a day. */
  private async openUpload(ids: { imageId: ImageId; uploadId: UploadId }, datastoreId: DatastoreId | null, ctx: BusContext): Promise<DatastoreId> {
    // As the user: a datastore that he may not see is none.
    if (datastoreId !== null) orThrow(await this.bus.request(getDatastore, { datastoreId }, { ctx }));
    const opened = await this.bus.request(openUpload, { uploadId: ids.uploadId, datastoreId, sizeBytes: null }, { ctx, as: 'system', idempotencyKey: `templates.image/${ids.imageId}/upload` });
    return orThrow(opened).datastoreId;
  }

  private async announce(tx: EntityManager, imageId: ImageId, ctx: BusContext, taskId: string | null = null): Promise<Image> {
    const image = await findImage(tx, imageId);
    if (image === undefined) throw new Error('an image vanished inside of a transaction');
    await emit(tx, imageChanged, { objectId: imageId, ctx, taskId, data: { image } });
    return image;
  }
}
