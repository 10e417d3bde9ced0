// VMs that are held for a task which has ended, or is not there: nothing would ever set them free.
import type { DataSource } from 'typeorm';
import { vmChanged } from '#contracts';
import { selectRow, selectRows, transaction } from '#database';
import { ok } from '#kernel';
import type { DriftSource } from '#service';
import { emit } from '#tasks';
import { changeVm, lockVm } from '../vm/vm.store.ts';
import { stateWithoutTask } from './drift.ts';

const heldForNothing = 'vm.task_id IS NOT NULL AND vm.deleted_at IS NULL AND NOT EXISTS (SELECT 1 FROM task WHERE task.id = vm.task_id AND task.ended_at IS NULL)';
interface Held { id: string; name: string; state: string; task_id: string; version: number; host_id: string | null }

export const vmTaskDrift = (db: DataSource): DriftSource => ({
  name: 'tasks of VMs',
  look: async () => {
    const held = await selectRows<Held>(db, `SELECT id, name, state, task_id, version, host_id FROM vm WHERE ${heldForNothing} LIMIT 500`);
    const all = await selectRow<{ n: number | string }>(db, 'SELECT COUNT(*) AS n FROM vm WHERE task_id IS NOT NULL AND deleted_at IS NULL');
    return [{
      scope: 'vm', population: Number(all?.n ?? 0),
      differences: held.map(({ id, name, state, task_id, version, host_id }) => ({
        kind: 'vm-task', objectId: id, objectName: name, hostId: host_id, text: `${name} is ${state} for the task ${task_id}, which has ended or is not there`, evidence: { state, taskId: task_id, version },
      })),
    }];
  },
  repair: {
    'vm-task': ({ object, evidence }) => transaction(db, async (tx) => {
      const vm = (await lockVm(tx, object.id))?.vm;
      if (vm === undefined || vm.taskId !== evidence['taskId'] || (await selectRow(tx, `SELECT id FROM vm WHERE id = ? AND ${heldForNothing}`, [object.id])) === undefined) return ok({});
      const next = await changeVm(tx, vm.id, { taskId: null, state: stateWithoutTask(vm.status.state, vm.status.hostId), reason: 'its task ended without a word; its host is asked' });
      await emit(tx, vmChanged, { objectId: vm.id, data: { vm: next, from: vm.status.state } });
      return ok({});
    }),
  },
});
