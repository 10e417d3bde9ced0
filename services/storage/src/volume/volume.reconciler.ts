// Volumes in a passing state whose task is over: they become `failed`, which people see, and a task removes what a
// creation left. The end of a task and its volume's state are one transaction, so this finds work only after a task
// that needs attention or after a restored database.
import { volumeChanged } from '#contracts';
import { transaction } from '#database';
import type { Reconciler } from '#service';
import { emit } from '#tasks';
import type { TaskEngine } from '#tasks';
import type { Logger } from '#telemetry';
import type { DataSource } from 'typeorm';
import type { VolumeTasks } from './volume.tasks.ts';
import { placeOf, volumeView } from './volume.ts';
import { lockVolume, markState, required, strayVolumes, usersOf } from './volume.store.ts';

export function volumeReconciler(db: DataSource, tasks: TaskEngine, kinds: VolumeTasks, log: Logger): Reconciler {
  const settle = (volumeId: string): Promise<void> => transaction(db, async (tx) => {
    const volume = await lockVolume(tx, volumeId, 'update');
    const stray = (await strayVolumes(tx)).some(({ id }) => id === volumeId);
    if (volume === undefined || !stray) return;
    log.warn({ volumeId, state: volume.state }, 'a volume was left in a passing state');
    const removable = volume.state === 'creating' && (await usersOf(tx, volumeId)).length === 0;
    const ref = removable
      ? await tasks.start(tx, kinds.delete, {
        objectId: volume.id, objectName: volume.name, ownerId: volume.ownerId, lock: [{ noun: 'volume', id: volume.id }],
        input: { volumeId: volume.id, name: volume.name, place: placeOf(volume), hostId: null, before: 'failed' },
      })
      : undefined;
    await markState(tx, volumeId, removable ? 'deleting' : 'failed', ref?.taskId);
    await emit(tx, volumeChanged, { objectId: volumeId, taskId: ref?.taskId ?? null, data: { volume: volumeView(await required(tx, volumeId)) } });
  });
  return {
    name: 'stray-volumes',
    everyMs: 30_000,
    run: async (signal) => {
      for (const { id } of await strayVolumes(db)) {
        if (signal.aborted) return;
        await settle(id);
      }
    },
  };
}
