// What hosts run, against the VMs that the pool places there. A running QEMU is never ended because a row is missing: it is shown
// and kept in mind, and a person says what becomes of it.
import type { DataSource } from 'typeorm';
import type { BusClient } from '#bus';
import { hostQemuEnd, hostStatus, hostVmDelete, hostVmPowerOff, InUse, type DriftFinding, type HostId, type HostVmStatus, type ReplyOf, type VmId } from '#contracts';
import { selectRows, sql, type Queryable } from '#database';
import type { Result } from '#kernel';
import type { Act, DriftSource, Look } from '#service';
import { connectedHostIds } from '../host/host-order.store.ts';
import { isPlaced, judgeStranger, judgeVm, type Placed } from './drift.ts';

type Asking = Pick<BusClient, 'requestHost'>;
type Told = ReplyOf<typeof hostStatus>;
const ASKED_AT_ONCE = 16;
const ASK_MS = 5_000;

export const hostDrift = (db: DataSource, bus: Asking): DriftSource => ({
  name: 'hosts',
  look: async (signal) => {
    const looks: Look[] = [];
    const queue = await connectedHostIds(db);
    const ask = async (): Promise<void> => {
      for (let hostId = queue.shift(); hostId !== undefined && !signal.aborted; hostId = queue.shift()) {
        const told = await bus.requestHost(hostId, hostStatus, {}, { as: 'system', timeoutMs: ASK_MS });
        if (told.ok) looks.push(await compared(db, hostId, told.value));
      }
    };
    await Promise.all(Array.from({ length: ASKED_AT_ONCE }, ask));
    return looks;
  },
  repair: {
    'qemu-unknown': (finding, commandId) => bus.requestHost(hostOf(finding), hostQemuEnd, { commandId, pid: Number(finding.evidence['pid']), startTicks: Number(finding.evidence['startTicks']) }, { as: 'system', timeoutMs: 20_000 }),
    'vm-elsewhere': stillStrange(db, (finding, commandId) => bus.requestHost(hostOf(finding), hostVmPowerOff, { commandId, ...vmOf(finding) }, { as: 'system', timeoutMs: 20_000 })),
    'vm-unknown': stillStrange(db, (finding, commandId) => bus.requestHost(hostOf(finding), hostVmDelete, { commandId, ...vmOf(finding) }, { as: 'system' })),
  },
});

async function compared(db: Queryable, hostId: string, { vms, unmanaged }: Told): Promise<Look> {
  const rows = await placesOf(db, [...vms.map(({ vmId }) => vmId), ...unmanaged.flatMap(({ uuid }) => uuid ?? [])]);
  const judged = [...unmanaged.map((process) => judgeStranger(process, rows)), ...vms.map((status) => judgeVm(hostId, status, rows.get(status.vmId)))];
  return { scope: `host ${hostId}`, population: vms.length + unmanaged.length, differences: judged.filter((one) => one !== null).map((one) => ({ ...one, hostId })) };
}

/** Tombstones too: they tell a VM that is gone from one that never was. */
async function placesOf(db: Queryable, ids: readonly string[]): Promise<Map<string, Placed>> {
  if (ids.length === 0) return new Map();
  const rows = await selectRows<{ id: string; name: string; host_id: string | null; deleted_at: Date | null; task_id: string | null }>(db, sql`SELECT id, name, host_id, deleted_at, task_id FROM vm WHERE id IN (${[...ids]})`);
  return new Map(rows.map((row) => [row.id, { name: row.name, hostId: row.host_id, gone: row.deleted_at !== null, taskId: row.task_id }]));
}

/** The pool may have placed it there since. */
const stillStrange = (db: DataSource, act: Act): Act => async (finding, commandId): Promise<Result<unknown>> => {
  const vmId = String(finding.evidence['vmId']);
  const placed = (await placesOf(db, [vmId])).get(vmId);
  return placed !== undefined && (isPlaced(hostOf(finding), placed) || placed.taskId !== null) ? InUse.fail('The pool places the VM there by now, or a task works on it.', { by: [{ noun: 'vm', id: vmId }] }) : act(finding, commandId);
};

const hostOf = ({ hostId }: DriftFinding): HostId => {
  if (hostId === null) throw new Error('a finding of a host without the host');
  return hostId;
};
const vmOf = ({ evidence }: DriftFinding): { vmId: VmId; epoch: HostVmStatus['epoch'] } => ({ vmId: String(evidence['vmId']) as VmId, epoch: Number(evidence['epoch']) });
