// The tasks of images, put through everything that a task must survive, beside a storage that keeps what it was asked to make.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { discardImageVolume, discardUpload, ingestVolume, NotFound, openUpload, storageTask } from '#contracts';
import type { DatastoreId, ImageId, Task, TaskId, UploadId, VolumeId } from '#contracts';
import { selectRows, transaction } from '#database';
import { newUuid, ok } from '#kernel';
import type { TaskEngine, TaskKind } from '#tasks';
import { childTaskId, proofs, SceneBus, serviceScene } from '#testing';
import type { ServiceScene, Trial } from '#testing';
import { templatesMigrations } from '../../migrations/0001-templates.ts';
import { templatesListMigrations } from '../../migrations/0007-lists.ts';
import { changeImage, findImage, insertImage, placeImage } from './image.store.ts';
import { deleteImageTask, importImageTask } from './image.task.ts';

const bus = new SceneBus();
const datastoreId = newUuid() as DatastoreId;
const sha256 = 'ab'.repeat(32);
/** What storage has. */
const volumes = new Set<string>();
const uploads = new Set<string>();
const tasks = new Map<string, Task>();
let scene: ServiceScene;

/** A task of storage that has ended at once; the same key again does nothing again. */
function ended(key: string | null, objectId: string, effect: () => void): { taskId: TaskId; objectId: string } {
  const taskId = childTaskId('storage', key ?? '') as TaskId;
  if (!tasks.has(taskId)) {
    effect();
    const now = new Date().toISOString();
    tasks.set(taskId, {
      id: taskId, service: 'storage', kind: 'storage.volume.ingest', object: { noun: 'volume', id: objectId, name: null }, state: 'succeeded', progress: null, waitsFor: null, error: null,
      output: { virtualBytes: 4096, sha256 }, actor: null, parentTaskId: null, traceId: null, steps: [], version: 3, createdAt: now, startedAt: now, endedAt: now,
    });
  }
  return { taskId, objectId };
}

beforeAll(async () => {
  bus.handle(ingestVolume, ({ volumeId, uploadId }, ctx) => Promise.resolve(ended(ctx.idempotencyKey, volumeId, () => { volumes.add(volumeId); uploads.delete(uploadId); })));
  bus.handle(discardImageVolume, ({ volumeId }, ctx) => Promise.resolve(ended(ctx.idempotencyKey, volumeId, () => { volumes.delete(volumeId); })));
  bus.handle(openUpload, ({ uploadId }) => {
    uploads.add(uploadId);
    return Promise.resolve({ datastoreId });
  });
  bus.handle(discardUpload, ({ uploadId }) => {
    uploads.delete(uploadId);
    return Promise.resolve({});
  });
  bus.handle(storageTask.get, ({ taskId }) => {
    const task = tasks.get(taskId);
    return Promise.resolve(task ? ok(task) : NotFound.fail('There is no task with this id.', { noun: 'task', id: taskId }));
  });
  scene = await serviceScene(bus, 'templates', [...templatesMigrations, ...templatesListMigrations]);
});
afterAll(() => scene.close());

async function announced(): Promise<{ imageId: ImageId; uploadId: UploadId; name: string }> {
  const image = { imageId: newUuid() as ImageId, uploadId: newUuid() as UploadId, name: `image ${newUuid()}` };
  uploads.add(image.uploadId);
  await transaction(scene.db, async (tx) => {
    await insertImage(tx, { id: image.imageId, uploadId: image.uploadId, name: image.name, description: '', format: 'raw', ownerId: null, folderId: null });
    await placeImage(tx, image.imageId, datastoreId);
  });
  return image;
}

const volumeOf = new Map<string, string>();
const uploadOf = new Map<string, string>();

async function beginImport(engine: TaskEngine): Promise<string> {
  const { imageId, uploadId, name } = await announced();
  const volumeId = newUuid() as VolumeId;
  volumeOf.set(imageId, volumeId);
  uploadOf.set(imageId, uploadId);
  return transaction(scene.db, async (tx) => {
    const { taskId } = await engine.start(tx, importImageTask.kind, {
      objectId: imageId, lock: [{ noun: 'image', id: imageId }], input: { imageId, volumeId, uploadId, datastoreId, name, format: 'raw', sizeBytes: 4, sha256, ownerId: null, folderId: null },
    });
    await changeImage(tx, imageId, { state: 'importing', reason: null, sizeBytes: 4 });
    return taskId;
  });
}

async function beginDelete(engine: TaskEngine): Promise<string> {
  const { imageId, uploadId, name } = await announced();
  const volumeId = newUuid() as VolumeId;
  volumes.add(volumeId);
  volumeOf.set(imageId, volumeId);
  uploadOf.set(imageId, uploadId);
  return transaction(scene.db, async (tx) => {
    await changeImage(tx, imageId, { state: 'deleting', volumeId });
    const { taskId } = await engine.start(tx, deleteImageTask.kind, { objectId: imageId, lock: [{ noun: 'image', id: imageId }], input: { imageId, name, volumeId, uploadId, before: 'ready' } });
    return taskId;
  });
}

async function seen({ object: { id } }: Task): Promise<object> {
  const image = await findImage(scene.db, id);
  return { state: image?.state, volume: volumes.has(volumeOf.get(id) ?? ''), upload: uploads.has(uploadOf.get(id) ?? ''), locks: (await selectRows(scene.db, 'SELECT * FROM task_lock WHERE object_id = ?', [id])).length };
}

const cases = {
  import: {
    kind: importImageTask as TaskKind, begin: beginImport,
    check: async (task: Task) => {
      if (task.state === 'succeeded') expect(await seen(task)).toEqual({ state: 'ready', volume: true, upload: false, locks: 0 });
      // Whether with its bytes or without them: it takes others.
      else expect(await seen(task)).toEqual({ state: task.state === 'cancelled' ? 'awaiting-upload' : 'failed', volume: false, upload: true, locks: 0 });
    },
  },
  delete: {
    kind: deleteImageTask as TaskKind, begin: beginDelete,
    check: async (task: Task) => {
      if (task.state === 'succeeded') expect(await seen(task)).toEqual({ state: undefined, volume: false, upload: false, locks: 0 });
      // Never ready without its volume.
      else {
        const found = (await seen(task)) as { state: string; volume: boolean; locks: number };
        expect(found.locks).toBe(0);
        expect(found.state === 'failed' || (found.state === 'ready' && found.volume)).toBe(true);
      }
    },
  },
};

describe.each(Object.entries(cases))('%s', (_name, { kind, begin, check }) => {
  const trial: Trial = { kind, begin, check, open: (variant, over) => scene.open([variant], { settings: { ...over, concurrency: 16, leaseMs: 500, renewMs: 120, sweepMs: 60, childLookMs: 30 } }) };
  for (const { shows, proof, withinMs } of proofs) it(shows, () => proof(trial), withinMs);
});
