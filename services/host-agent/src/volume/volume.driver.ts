// The volumes of this host's datastores: hands each command to what carries it out, knows what runs so that it can be
// cancelled, answers after a crash how much of an effect is there, and gives a VM's files to the VM.
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { z } from 'zod';
import { NotFoundOnHost, hostFileKeep, hostFilePurge, hostFileRelease, hostUploadDiscard, hostUploadWrite, hostVolumeCopy, hostVolumeCreate, hostVolumeDelete, hostVolumeIngest } from '#contracts';
import type { HostVmSpec, VolumePlace } from '#contracts';
import type { Result } from '#kernel';
import { ok } from '#kernel';
import type { Effect, VolumeCommandName, VolumeDriver, VolumeWork } from '../drivers.ts';
import { readChain } from './backing-chain.driver.ts';
import { badInput, codeOf, draftsOf, enter, failedBecause, probe, scan, statOf } from './datastore.driver.ts';
import { ingestVolume } from './ingest.driver.ts';
import { recordPath, sealedFile, uploadFile, volumePath } from './places.ts';
import { awayEffect, keep, keptEffect, purge, release, survey } from './quarantine.driver.ts';
import { discardUpload, openUpload, writeUpload } from './upload.driver.ts';
import { copyVolume, createVolume, deleteVolume } from './volume-files.driver.ts';

export interface VolumeOptions {
  /** TOK_TEMPLATE_GID: group that may read images. */
  readonly templateGid: number;
  /** User of the ingest sandbox; a number that nobody else uses. The default is the number of the template group. */
  readonly sandboxUid?: number;
}

export function createVolumeDriver({ templateGid, sandboxUid = templateGid }: VolumeOptions): VolumeDriver {
  const running = new Map<string, { abort: () => void; ended: Promise<unknown> }>();

  /** The work ends early when its own signal or a cancel command says so. */
  const cancellable = <I extends { commandId: string }, R>(carryOut: (input: I, work: VolumeWork) => Promise<R>) => (input: I, work: VolumeWork): Promise<R> => {
    const own = new AbortController();
    const ended = carryOut(input, { ...work, signal: AbortSignal.any([work.signal, own.signal]) }).finally(() => running.delete(input.commandId));
    running.set(input.commandId, { abort: () => own.abort(), ended: ended.catch(() => undefined) });
    return ended;
  };

  return {
    create: cancellable(createVolume),
    copy: cancellable(copyVolume),
    ingest: cancellable((input, work) => ingestVolume(input, work, { templateGid, sandboxUid })),
    delete: deleteVolume,
    cancel: async ({ targetCommandId }) => {
      const target = running.get(targetCommandId);
      target?.abort();
      await target?.ended;
      return ok({});
    },
    uploadWrite: writeUpload,
    uploadDiscard: discardUpload,
    probe,
    scan,
    survey,
    keep,
    release,
    purge,
    effectOf,
    prepareForVm: (spec) => prepareForVm(spec, templateGid),
  };
}

const isThere = async (path: string): Promise<boolean> => (await statOf(path)) !== null;

/** A probe of one command: how much of the effect of its input is there. */
const probeOf = <S extends z.ZodType>(schema: S, look: (input: z.output<S>) => Promise<Effect>) => (input: unknown): Promise<Effect> => look(schema.parse(input));

const madeVolume = async (place: VolumePlace): Promise<Effect> => {
  if (!(await enter(place)).ok) return 'partial'; // cannot be seen now: carried out again, the command says why
  if (await isThere(volumePath(place))) return 'done';
  return (await draftsOf(place)).length > 0 ? 'partial' : 'not-done';
};

const probes: Readonly<Record<VolumeCommandName, (input: unknown) => Promise<Effect>>> = {
  'volume.create': probeOf(hostVolumeCreate.input, ({ place }) => madeVolume(place)),
  'volume.copy': probeOf(hostVolumeCopy.input, ({ to }) => madeVolume(to)),
  'volume.delete': probeOf(hostVolumeDelete.input, async ({ place }) => {
    if (!(await enter(place)).ok) return 'partial';
    if (await isThere(volumePath(place))) return 'not-done';
    return (await isThere(recordPath(place))) || (await draftsOf(place)).length > 0 ? 'partial' : 'done';
  }),
  'file.keep': probeOf(hostFileKeep.input, keptEffect),
  'file.release': probeOf(hostFileRelease.input, awayEffect),
  'file.purge': probeOf(hostFilePurge.input, awayEffect),
  // What ran has ended with the agent.
  'volume.cancel': () => Promise.resolve('done'),
  'volume.ingest': probeOf(hostVolumeIngest.input, async ({ to, uploadId, datastorePath }) => {
    const made = await madeVolume(to);
    return (await isThere(sealedFile(datastorePath, uploadId))) ? 'partial' : made;
  }),
  'upload.write': probeOf(hostUploadWrite.input, async ({ uploadId, datastorePath, offset, data }) => {
    const wanted = Buffer.from(data, 'base64');
    const path = uploadFile(datastorePath, uploadId);
    if (!(await isThere(path))) return 'not-done';
    const { file } = await openUpload(path, constants.O_RDONLY);
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(wanted.length), 0, wanted.length, offset);
      if (bytesRead === 0 && wanted.length > 0) return 'not-done';
      return buffer.subarray(0, bytesRead).equals(wanted) ? 'done' : 'partial';
    } finally {
      await file.close();
    }
  }),
  'upload.discard': probeOf(hostUploadDiscard.input, async ({ uploadId, datastorePath }) =>
    ((await isThere(uploadFile(datastorePath, uploadId))) || (await isThere(sealedFile(datastorePath, uploadId))) ? 'not-done' : 'done')),
};

function effectOf(command: VolumeCommandName, input: unknown): Promise<Effect> {
  return probes[command](input);
}

async function prepareForVm(spec: HostVmSpec, templateGid: number): Promise<Result<void>> {
  for (const disk of spec.disks) {
    const entered = await enter(disk.place);
    if (!entered.ok) return entered;
    if (!disk.readOnly && !disk.place.relativePath.startsWith('volumes/')) return badInput('disks', `${disk.place.relativePath} is an image; a VM may only read it`);
    const chain = await readChain(disk.place);
    if (!chain.ok) return chain;
    const [top, ...below] = chain.value;
    const shared = disk.readOnly ? [top, ...below] : below;
    for (const { place } of shared) {
      const given = await give(place, { uid: 0, gid: templateGid, mode: 0o440 });
      if (!given.ok) return given;
    }
    const own = disk.readOnly ? ok(undefined) : await give(top.place, { uid: spec.uid, gid: spec.uid, mode: 0o600 });
    if (!own.ok) return own;
  }
  return ok(undefined);
}

async function give(place: VolumePlace, { uid, gid, mode }: { uid: number; gid: number; mode: number }): Promise<Result<void>> {
  try {
    const file = await open(volumePath(place), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      // Through the descriptor: the file that was looked at is the file that changes hands.
      const stat = await file.stat();
      if (!stat.isFile()) return failedBecause(`${place.relativePath} is not a plain file`);
      if (stat.uid !== uid || stat.gid !== gid) await file.chown(uid, gid);
      if ((stat.mode & 0o7777) !== mode) await file.chmod(mode);
      return ok(undefined);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return NotFoundOnHost.fail(`${place.relativePath} is not there`, { noun: 'volume', id: place.volumeId });
    return failedBecause(`${place.relativePath} cannot be given to the VM (${codeOf(error)})`, error);
  }
}
