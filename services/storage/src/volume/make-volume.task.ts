// Makes a volume's file on a host: empty, as linked clone or as full copy. The row is `creating` until the transaction
// that ends the task; an undo removes file and row, whatever became of them.
import type { EntityManager } from 'typeorm';
import { hostVolumeCancel, hostVolumeCopy, hostVolumeCreate, hostVolumeDelete, volumeChanged, volumeDeleted } from '#contracts';
import type { HostId, VolumeId, VolumePlace } from '#contracts';
import { defineTask, emit } from '#tasks';
import type { Slot, StepContext, TaskKind, TaskOutcome } from '#tasks';
import type { DatastoreHosts } from '../datastore/datastore.hosts.ts';
import { volumeView } from './volume.ts';
import { deleteVolumeRow, findVolume, markReady, markState, required } from './volume.store.ts';

export interface MakeVolume {
  readonly volumeId: VolumeId;
  /** Chosen when the task began and kept, so that a repeated command meets the host that knows it. */
  readonly hostId: HostId;
  readonly place: VolumePlace;
  readonly sizeBytes: number;
  /** What is copied in full, or lain over; null = an empty volume. */
  readonly source: VolumePlace | null;
}
interface Made { readonly allocatedBytes: number }

/** Copies share what a datastore and a host can carry. */
export const copySlots = ({ place, hostId }: { readonly place: VolumePlace; readonly hostId: HostId }): readonly Slot[] => [
  { noun: 'datastore', id: place.datastoreId, of: 'copies' }, { noun: 'host', id: hostId, of: 'copies' },
];

/** A host that is away this long is not waited for any longer: the volume is wanted now. */
const patienceMs = 120_000;

export const createVolumeTask = (hosts: DatastoreHosts): TaskKind<MakeVolume> => defineTask<MakeVolume>({
  kind: 'storage.volume.create',
  object: 'volume',
  steps: [{
    name: 'make-file',
    retryForMs: patienceMs,
    run: (ctx) => ctx.host(ctx.input.hostId, hostVolumeCreate, { place: ctx.input.place, sizeBytes: ctx.input.sizeBytes, backing: ctx.input.source }),
    undo: (ctx) => removeFile(ctx, hosts),
  }],
  onFinished: (tx, outcome) => finishMade(tx, outcome, outcome.output<Made>('make-file')),
});

export const copyVolumeTask = (hosts: DatastoreHosts): TaskKind<MakeVolume> => defineTask<MakeVolume>({
  kind: 'storage.volume.copy',
  object: 'volume',
  steps: [{
    name: 'copy-data',
    slots: ({ input }) => copySlots(input),
    retryForMs: patienceMs,
    run: async (ctx) => {
      const { hostId, source, place, sizeBytes } = ctx.input;
      if (source === null) throw new Error('a copy without a source');
      return orAborted(ctx.signal, ctx.host(hostId, hostVolumeCopy, { from: source, to: place, sizeBytes }));
    },
    undo: async (ctx) => {
      await abortOnHost(ctx, hosts, ctx.input.hostId);
      await removeFile(ctx, hosts);
    },
  }],
  onFinished: (tx, outcome) => finishMade(tx, outcome, outcome.output<Made>('copy-data')),
});

/**
 * Waits for long work on a host no longer than this step may go on: the host works on, and either an undo aborts it
 * there or the next run of the step finds it by its command id.
 */
export async function orAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => { aborted.reject(new Error('the step was told to stop')); };
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** Stops work of this step that may still run; a host that is away is told by the repetition of the command, if ever. */
export async function abortOnHost(ctx: StepContext<unknown>, hosts: DatastoreHosts, hostId: HostId): Promise<void> {
  if (await hosts.isConnected(hostId)) await ctx.host(hostId, hostVolumeCancel, { targetCommandId: ctx.runCommandId() }, { part: 'cancel' });
}

/** So often the host that was told to make the file is looked for, and so long between two looks: half of the time within which a cancel is promised to end. */
const LOOKS = 8;
const LOOK_MS = 2_000;

/**
 * The host that was told to make the file removes it: one that has been silent for a moment may find the command when it is back, and make
 * a file that another has just removed. One that stays away is not waited for; what it makes then is found as drift.
 */
export async function removeFile(ctx: StepContext<{ readonly place: VolumePlace; readonly hostId: HostId }>, hosts: DatastoreHosts): Promise<void> {
  const { place, hostId } = ctx.input;
  if (ctx.attempt < LOOKS && !(await hosts.isConnected(hostId))) ctx.waitFor({ what: 'the host to respond', holder: hostId, lookAgainMs: LOOK_MS });
  await ctx.host(await hosts.workHostOr(place.datastoreId, hostId), hostVolumeDelete, { place }, { part: 'delete' });
}

/** The row follows the file: ready, or gone; `failed` where the undo could not finish, so that it can be deleted later. */
export async function finishMade(tx: EntityManager, outcome: TaskOutcome<{ readonly volumeId: VolumeId }>, made: (Made & { readonly sizeBytes?: number }) | undefined): Promise<void> {
  const { volumeId } = outcome.input;
  const volume = await findVolume(tx, volumeId);
  if (volume === undefined) return;
  const origin = { objectId: volumeId, actor: outcome.task.actor, traceId: outcome.task.traceId, taskId: outcome.task.id };
  if (outcome.state === 'failed' || outcome.state === 'cancelled') {
    await deleteVolumeRow(tx, volumeId);
    await emit(tx, volumeDeleted, { ...origin, data: { volumeId, name: volume.name } });
    return;
  }
  if (outcome.state === 'succeeded' && made !== undefined) await markReady(tx, volumeId, outcome.task.id, made);
  else await markState(tx, volumeId, 'failed');
  await emit(tx, volumeChanged, { ...origin, data: { volume: volumeView(await required(tx, volumeId)) } });
}
