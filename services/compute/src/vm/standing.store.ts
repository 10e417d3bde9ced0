// How VMs stand, as other owners ask for it.
import type { InputOf, ReplyOf, standingVms } from '#contracts';
import { selectRows, sql, type Queryable } from '#database';
import { demandOf } from './vm.steps.task.ts';
import { recordOf, vmsById, type VmRecord, type VmRow } from './vm.store.ts';

const standing = ({ vm, claimHeld }: VmRecord): ReplyOf<typeof standingVms>['vms'][number] =>
  ({ vmId: vm.id, name: vm.name, hostId: vm.status.hostId, state: vm.status.state, taskId: vm.taskId, claimHeld, demand: demandOf({ ...vm, pending: null }), version: vm.version });

export async function vmsStanding(db: Queryable, { vmIds, after, limit }: InputOf<typeof standingVms>): Promise<ReplyOf<typeof standingVms>> {
  if (vmIds !== undefined) return { vms: (await vmsById(db, vmIds)).map(standing) };
  const rows = await selectRows<VmRow>(db, sql`SELECT vm.* FROM vm WHERE vm.deleted_at IS NULL AND vm.host_id IS NOT NULL AND vm.id > ${after ?? ''} ORDER BY vm.id LIMIT ${limit}`);
  return { vms: rows.map((row) => standing(recordOf(row))) };
}
