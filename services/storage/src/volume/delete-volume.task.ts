// Deletes a volume's file, then its row. A file that is not there is already deleted, so every repetition ends well.
import { hostVolumeDelete, InUse, volumeChanged, volumeDeleted } from '#contracts';
import type { HostId, VolumeId, VolumePlace } from '#contracts';
import { defineTask, emit } from '#tasks';
import type { TaskKind } from '#tasks';
import type { DatastoreHosts } from '../datastore/datastore.hosts.ts';
import { volumeView } from './volume.ts';
import type { VolumeState } from './volume.ts';
import { deleteVolumeRow, findVolume, markState, required } from './volume.store.ts';

export interface DeleteVolume {
  readonly volumeId: VolumeId;
  readonly name: string;
  /** null = there was no such volume when the task began. */
  readonly place: VolumePlace | null;
  /** Where to do it while none of the datastore's hosts is connected: this one is waited for. */
  readonly hostId: HostId | null;
  /** What it was before, for a cancelled deletion. */
  readonly before: VolumeState | null;
}

export const deleteVolumeTask = (hosts: DatastoreHosts): TaskKind<DeleteVolume> => defineTask<DeleteVolume>({
  kind: 'storage.volume.delete',
  object: 'volume',
  steps: [{
    name: 'delete-file',
    run: async (ctx) => {
      const { place, hostId } = ctx.input;
      if (place === null) return {};
      const on = hostId === null ? await hosts.workHost(place.datastoreId, null) : await hosts.workHostOr(place.datastoreId, hostId);
      await ctx.host(on, hostVolumeDelete, { place });
      return {};
    },
    // The host may have been told: nobody can say that the file is whole.
    undo: (ctx) => ctx.tx((tx) => markState(tx, ctx.input.volumeId, 'failed')),
  }],
  onFinished: async (tx, { state, input, task, error }) => {
    const volume = await findVolume(tx, input.volumeId);
    if (volume === undefined) return;
    const origin = { objectId: volume.id, actor: task.actor, traceId: task.traceId, taskId: task.id };
    if (state === 'succeeded') {
      await deleteVolumeRow(tx, volume.id);
      await emit(tx, volumeDeleted, { ...origin, data: { volumeId: volume.id, name: volume.name } });
      return;
    }
    // Without the step's undo the step never began; a host that says IN_USE has left the file alone.
    const untouched = volume.state === 'deleting' || error?.code === InUse.code;
    await markState(tx, volume.id, untouched ? (input.before ?? 'failed') : 'failed');
    await emit(tx, volumeChanged, { ...origin, data: { volume: volumeView(await required(tx, volume.id)) } });
  },
});
