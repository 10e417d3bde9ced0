// What hosts say of VMs, as rows: taken over if it is news, and doubted when the host is silent.
import type { EntityManager } from 'typeorm';
import type { HostVmStatus, ReportOrder, Vm } from '#contracts';
import { canonicalJson } from '#kernel';
import { execute, executeLater, selectRows, sql, toJson, type Queryable } from '#database';
import { holdsHost, isNews, reasonOf, stateFromHost } from './vm.ts';
import { findVm, type VmRecord } from './vm.store.ts';

const addressesOf = (status: HostVmStatus): string[] => status.guestAddresses.flatMap((nic) => nic.addresses);

interface Observed { state: Vm['status']['state']; reason: string | null }

/** While a task works on the VM the state stays the task's; what was heard is kept for its end. */
function observed({ vm }: VmRecord, status: HostVmStatus): Observed {
  if (vm.taskId !== null) return { state: vm.status.state, reason: vm.status.reason };
  const state = stateFromHost(status.state);
  if (state === 'running') return { state, reason: null };
  return { state, reason: reasonOf(status) ?? (state === vm.status.state ? vm.status.reason : null) };
}

/** Whether the row says already what the host says. */
export function agrees(record: VmRecord, status: HostVmStatus): boolean {
  const { vm } = record;
  const { state, reason } = observed(record, status);
  return state === vm.status.state && reason === vm.status.reason && record.hostState === status.state && status.pid === vm.status.pid
    && status.guestAgent === vm.status.guestAgent && JSON.stringify(addressesOf(status)) === JSON.stringify(vm.status.addresses)
    && canonicalJson(status.memory) === canonicalJson(vm.status.memory);
}

/** Takes over what a host said of a locked VM, if it is news, and answers the VM as it is now; undefined = nothing changed. */
export async function observe(tx: EntityManager, record: VmRecord, status: HostVmStatus, order: ReportOrder | null): Promise<Vm | undefined> {
  const { vm, seen } = record;
  if (status.epoch < vm.status.epoch) return undefined;
  if (order && seen.boot === order.bootId && !isNews(seen, order)) return undefined;
  const { state, reason } = observed(record, status);
  const same = agrees(record, status);
  const place = order ? ', seen_boot = ?, seen_epoch = ?, seen_seq = ?' : '';
  const version = same ? '' : ', version = version + 1, updated_at = UTC_TIMESTAMP(3)';
  await executeLater(tx, `UPDATE vm SET state = ?, reason = ?, host_state = ?, host_reason = ?, pid = ?, started_at = ?, guest_agent = ?, addresses = ?, guest_memory = ?,
    observed_at = UTC_TIMESTAMP(3)${place}${version} WHERE id = ?`, [
    state, reason, status.state, reasonOf(status)?.slice(0, 1000) ?? null, status.pid, status.startedAt === null ? null : new Date(status.startedAt), status.guestAgent,
    toJson(addressesOf(status)), status.memory === null ? null : toJson(status.memory), ...(order ? [order.bootId, order.epoch, order.seq] : []), vm.id,
  ]);
  return same ? undefined : (await findVm(tx, vm.id))?.vm;
}

/** They were seen just now, as they were before. */
export async function touchObserved(tx: Queryable, ids: readonly string[]): Promise<void> {
  if (ids.length > 0) await execute(tx, sql`UPDATE vm SET observed_at = UTC_TIMESTAMP(3) WHERE id IN (${[...ids]})`);
}

/** VMs that may run on a host that does not respond, and that nobody works on. */
export async function doubtfulVms(tx: Queryable, limit: number): Promise<string[]> {
  const states = holdsHost.filter((state) => state !== 'unknown');
  const rows = await selectRows<{ id: string }>(tx, sql`SELECT vm.id FROM vm JOIN host ON host.id = vm.host_id
    WHERE host.state <> 'connected' AND vm.deleted_at IS NULL AND vm.task_id IS NULL AND vm.state IN (${states}) LIMIT ${limit}`);
  return rows.map((row) => row.id);
}
