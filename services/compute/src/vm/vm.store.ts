// Rows of VMs: the only file that knows their tables. A VM is changed under its row lock; every change raises `version`.
import type { EntityManager } from 'typeorm';
import { NameTaken, type DatastoreId, type HostVmStatus, type SavedMemory, type Vm, type VmPending, type VmSpec, type VmState, type VmStatus, type VolumeId } from '#contracts';
import { execute, executeLater, fromBit, fromJson, insertOf, insertRow, isDuplicate, isoAt, isoAtOrNull, selectRow, selectRows, sql, toJson, type ColumnValue, type Queryable } from '#database';
import { FaultError } from '#kernel';
import { conflict, stamp } from '../cluster/cluster.store.ts';
import { idleStates } from './vm.ts';

export interface VmRow {
  id: string; name: string; description: string; labels: unknown; cluster_id: string; template_id: string | null; owner_id: string | null; folder_id: string | null; uid: number; spec: unknown; pending: unknown; saved: unknown; tpm: unknown; uefi_vars: unknown;
  state: VmState; observed_at: Date | null; host_state: HostVmStatus['state'] | null; host_reason: string | null; seen_boot: string | null; seen_epoch: number | string; seen_seq: number | string; epoch: number | string; host_id: string | null;
  pid: number | null; started_at: Date | null; reason: string | null; guest_agent: number; addresses: unknown; guest_memory: unknown; task_id: string | null; claim_held: number; deleted_at: Date | null; recycled_at: Date | null; purge_at: Date | null;
  number: number; version: number; created_at: Date; updated_at: Date;
}

/** A VM with what only compute needs to know of it. */
export interface VmRecord {
  readonly vm: Vm;
  /** What the host said last, of the VM's present epoch; null = nothing yet. */
  readonly hostState: HostVmStatus['state'] | null;
  readonly hostReason: string | null;
  readonly seen: { readonly boot: string | null; readonly epoch: number; readonly seq: number };
  readonly claimHeld: boolean;
  readonly saved: SavedVm | null;
}

/** The memory of a hibernated VM, and what a QEMU must be made like to take it. */
export interface SavedVm { readonly volumeId: VolumeId; readonly datastoreId: DatastoreId; readonly sizeBytes: number; readonly savedAt: string; readonly like: SavedMemory }

/** What a spec did not say that was written before it could. */
const sinceThen: Pick<VmSpec, 'clock' | 'tpm'> = { clock: { base: 'utc', offsetSeconds: 0 }, tpm: 'none' };

const publicPart = ({ volumeId, datastoreId, sizeBytes, savedAt }: SavedVm): Vm['status']['saved'] => ({ volumeId, datastoreId, sizeBytes, savedAt });

export function recordOf(row: VmRow): VmRecord {
  const saved = row.saved === null ? null : fromJson<SavedVm>(row.saved);
  const vm: Vm = {
    id: row.id as Vm['id'], name: row.name, description: row.description, labels: fromJson(row.labels), clusterId: row.cluster_id as Vm['clusterId'],
    templateId: row.template_id as Vm['templateId'], uid: row.uid, spec: { ...sinceThen, ...fromJson<Omit<VmSpec, 'clock' | 'tpm'> & Partial<VmSpec>>(row.spec) }, pending: row.pending === null ? null : fromJson(row.pending),
    status: {
      state: row.state, observedAt: isoAtOrNull(row.observed_at), epoch: Number(row.epoch), seq: Number(row.seen_seq), hostId: row.host_id as Vm['status']['hostId'], pid: row.pid,
      startedAt: isoAtOrNull(row.started_at), reason: row.reason, guestAgent: fromBit(row.guest_agent), addresses: fromJson(row.addresses), saved: saved && publicPart(saved),
      tpm: row.tpm === null ? null : fromJson(row.tpm), uefiVars: row.uefi_vars === null ? null : fromJson(row.uefi_vars),
      memory: row.guest_memory === null ? null : fromJson(row.guest_memory),
    },
    taskId: row.task_id as Vm['taskId'], recycled: row.recycled_at === null || row.purge_at === null ? null : { at: isoAt(row.recycled_at), purgeAt: isoAt(row.purge_at) },
    ownerId: row.owner_id as Vm['ownerId'], folderId: row.folder_id as Vm['folderId'],
    number: row.number, version: row.version, createdAt: isoAt(row.created_at), updatedAt: isoAt(row.updated_at),
  };
  return {
    vm, hostState: row.host_state, hostReason: row.host_reason, claimHeld: fromBit(row.claim_held), saved,
    seen: { boot: row.seen_boot, epoch: Number(row.seen_epoch), seq: Number(row.seen_seq) },
  };
}

const living = 'SELECT vm.* FROM vm WHERE vm.deleted_at IS NULL';

export async function findVm(tx: Queryable, id: string): Promise<VmRecord | undefined> {
  const row = await selectRow<VmRow>(tx, `${living} AND vm.id = ?`, [id]);
  return row && recordOf(row);
}

/** The VM with its row locked until the transaction ends. */
export async function lockVm(tx: EntityManager, id: string): Promise<VmRecord | undefined> {
  const row = await selectRow<VmRow>(tx, `${living} AND vm.id = ? FOR UPDATE`, [id]);
  return row && recordOf(row);
}

export async function vmsOnHost(tx: Queryable, hostId: string): Promise<VmRecord[]> {
  return (await selectRows<VmRow>(tx, `${living} AND vm.host_id = ?`, [hostId])).map(recordOf);
}

export async function vmsById(tx: Queryable, ids: readonly string[]): Promise<VmRecord[]> {
  return ids.length === 0 ? [] : (await selectRows<VmRow>(tx, sql`SELECT vm.* FROM vm WHERE vm.deleted_at IS NULL AND vm.id IN (${[...ids]})`)).map(recordOf);
}

/** Of these, those that the pool has or has had: a tombstone counts. */
export async function vmsEverHad(tx: Queryable, ids: readonly string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set();
  return new Set((await selectRows<{ id: string }>(tx, sql`SELECT id FROM vm WHERE id IN (${[...ids]})`)).map(({ id }) => id));
}

/** VMs that hold capacity although nothing runs and no task works on them. */
export async function idleClaims(tx: Queryable, limit: number): Promise<VmRecord[]> {
  const rows = await selectRows<VmRow>(tx, sql`SELECT vm.* FROM vm WHERE vm.claim_held = 1 AND vm.state IN (${[...idleStates]}) AND vm.task_id IS NULL LIMIT ${limit}`);
  return rows.map(recordOf);
}

export interface NewVm {
  id: string; name: string; description: string; labels: Readonly<Record<string, string>>; clusterId: string; templateId: string | null;
  ownerId: string | null; folderId: string | null; uid: number; spec: VmSpec; taskId: string;
}

export const nameTaken = (name: string): FaultError => new FaultError(NameTaken.fault(`There is a VM called "${name}" already.`, { noun: 'vm', name }));

export async function insertVm(tx: EntityManager, vm: NewVm): Promise<Vm> {
  try {
    await insertRow(tx, 'vm', {
      id: vm.id, name: vm.name, live_name: vm.name, description: vm.description, labels: toJson(vm.labels), cluster_id: vm.clusterId, template_id: vm.templateId,
      owner_id: vm.ownerId, folder_id: vm.folderId, uid: vm.uid, spec: toJson(vm.spec), state: 'creating', addresses: '[]', task_id: vm.taskId, ...(await stamp(tx, 'vm')),
    });
  } catch (error) {
    throw isDuplicate(error) ? nameTaken(vm.name) : error;
  }
  await indexLabels(tx, vm.id, vm.labels);
  return (await findVm(tx, vm.id))!.vm;
}

/** What may be set on a VM; `undefined` = leave it. */
export interface VmChange {
  name?: string | undefined; description?: string | undefined; labels?: Readonly<Record<string, string>> | undefined; spec?: VmSpec; pending?: VmPending | null; state?: VmState; reason?: string | null;
  taskId?: string | null; hostId?: string | null;
  /** A new epoch; what was heard of the one before is forgotten. */
  epoch?: number;
  saved?: SavedVm | null;
  tpm?: VmStatus['tpm']; uefiVars?: VmStatus['uefiVars'];
  claimHeld?: boolean; folderId?: string | null | undefined; pid?: number | null; startedAt?: string | null;
}

type Value = VmChange[keyof VmChange] | null;
type Columns = Record<string, string | number | boolean | Date | null>;
const columnOf: Readonly<Record<keyof VmChange, (value: Value) => Columns>> = {
  name: (value) => ({ name: value as string, live_name: value as string }),
  description: (value) => ({ description: value as string }),
  labels: (value) => ({ labels: toJson(value) }),
  spec: (value) => ({ spec: toJson(value) }),
  pending: (value) => ({ pending: value === null ? null : toJson(value) }),
  state: (value) => ({ state: value as string }),
  reason: (value) => ({ reason: value === null ? null : (value as string).slice(0, 1000) }),
  taskId: (value) => ({ task_id: value as string | null }),
  hostId: (value) => ({ host_id: value as string | null }),
  folderId: (value) => ({ folder_id: value as string | null }),
  epoch: (value) => ({ epoch: value as number, host_state: null, host_reason: null, pid: null, started_at: null, guest_agent: false, addresses: '[]', guest_memory: null }),
  saved: (value) => ({ saved: value === null ? null : toJson(value) }),
  tpm: (value) => ({ tpm: value === null ? null : toJson(value) }),
  uefiVars: (value) => ({ uefi_vars: value === null ? null : toJson(value) }),
  claimHeld: (value) => ({ claim_held: value as boolean }),
  pid: (value) => ({ pid: value as number | null }),
  startedAt: (value) => ({ started_at: value === null ? null : new Date(value as string) }),
};

/** Changes a locked VM and answers it as it is now. */
export async function changeVm(tx: EntityManager, id: string, change: VmChange): Promise<Vm> {
  const given = Object.entries(change).filter(([, value]) => value !== undefined);
  const set = Object.assign({}, ...given.map(([key, value]) => columnOf[key as keyof VmChange](value as Value))) as Columns;
  const columns = Object.keys(set);
  const assignments = [...columns.map((column) => `${column} = ?`), 'version = version + 1', 'updated_at = UTC_TIMESTAMP(3)'];
  // A name may be taken, which is for this statement alone to say.
  const write = change.name === undefined ? executeLater : execute;
  try {
    await write(tx, `UPDATE vm SET ${assignments.join(', ')} WHERE id = ?`, [...columns.map((column) => set[column] ?? null), id]);
  } catch (error) {
    throw isDuplicate(error) ? nameTaken(change.name ?? '') : error;
  }
  if (change.spec) await indexAddresses(tx, id, change.spec);
  if (change.labels) await indexLabels(tx, id, change.labels);
  const record = await findVm(tx, id);
  if (!record) throw new Error(`VM ${id} vanished under its lock`);
  return record.vm;
}

export const checkVersion = (vm: Vm, version: number | undefined): void => {
  if (version !== undefined && version !== vm.version) throw new FaultError(conflict(version, vm.version));
};

const indexAddresses = (tx: EntityManager, vmId: string, spec: VmSpec): Promise<void> =>
  index(tx, 'vm_address', vmId, spec.nics.map((nic) => ({ mac: nic.mac, ip: nic.ip })));

const indexLabels = (tx: EntityManager, vmId: string, labels: Readonly<Record<string, string>>): Promise<void> =>
  index(tx, 'vm_label', vmId, Object.entries(labels).map(([name, value]) => ({ name, value })));

/** What a VM is found by, in place of what it was found by until now. */
async function index(tx: EntityManager, table: 'vm_address' | 'vm_label', vmId: string, rows: readonly Readonly<Record<string, ColumnValue>>[]): Promise<void> {
  await executeLater(tx, `DELETE FROM ${table} WHERE vm_id = ?`, [vmId]);
  if (rows.length > 0) await executeLater(tx, insertOf(table, rows.map((row) => ({ vm_id: vmId, ...row }))));
}

/** The row stays as a tombstone; the name is free and the uid goes into quarantine. */
export async function buryVm(tx: EntityManager, id: string): Promise<void> {
  await executeLater(tx, `UPDATE vm SET deleted_at = UTC_TIMESTAMP(3), live_name = NULL, task_id = NULL, claim_held = 0, state = 'deleting', recycled_at = NULL, purge_at = NULL,
    version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ?`, [id]);
  await index(tx, 'vm_address', id, []);
  await index(tx, 'vm_label', id, []);
  await executeLater(tx, 'UPDATE vm_uid SET vm_id = NULL, freed_at = UTC_TIMESTAMP(3) WHERE vm_id = ?', [id]);
}
