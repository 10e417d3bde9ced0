// Decides whether a command to a VM may begin, and starts its task, all in one transaction: the right, the state, the
// row, the task and the event stand or fall together.
import type { DataSource, EntityManager } from 'typeorm';
import { checked, decided, type BusClient, type BusContext } from '#bus';
import {
  InvalidArgument, NoCapacity, NotFound, PermissionDenied, checkPortGroups, createVm, deleteVm, getDatastore, getTemplate, powerOffVm,
  hibernateVm, pauseVm, purgeVm, rebootVm, resetVm, restoreVm, resumeVm, startVm, stopVm, updateVm, vmChanged, vmCreated,
  VmBusy, type ClusterId, type DatastoreId, type DiskId, type FolderId, type HostId, type InputOf, type NicId, type Operation, type Permission, type PortId, type ReplyOf, type TaskRef, type Template,
  type Vm, type VmId, type VolumeId,
} from '#contracts';
import { allowed, gathered, mayAccess, whoOf } from '#database';
import { newUuid, ok, orThrow, sizeText, type Result } from '#kernel';
import { emit, runCommand, type TaskEngine, type TaskKind } from '#tasks';
import { clusterFor } from '../cluster/cluster.store.ts';
import { stateOfHost } from '../host/host-order.store.ts';
import { createVmTask, type CreateVmInput, type PlannedDisk } from './create-vm.task.ts';
import { keepFolder } from '../folder/folder.store.ts';
import { deleteVmTask, type DeleteVmInput } from './delete-vm.task.ts';
import { hibernateVmTask, wakeVmTask } from './hibernate-vm.task.ts';
import { recycleVmTask } from './recycle-vm.task.ts';
import { keptDisks, namesToRestore, refuseBin } from './vm-bin.ts';
import { holdMsOf, takeOutOfBin } from './vm-bin.store.ts';
import { powerOffVmTask, rebootVmTask, startVmTask, stopVmTask } from './power-vm.task.ts';
import { pauseVmTask, resetVmTask, resumeVmTask } from './steer-vm.task.ts';
import { allOwnVolumesOf } from './own-volumes.ts';
import { refuseSpec } from './pending.ts';
import { begin, firstSpec, holdsHost, volumeName, type VmOperation } from './vm.ts';
import { wordsOfEnd } from './vm-plan.ts';
import { changeVm, checkVersion, findVm, insertVm, lockVm, nameTaken, vmsById, type VmRecord } from './vm.store.ts';
import { takeUid } from './vm-uid.store.ts';

export interface UidRange { readonly first: number; readonly last: number }

/** A VM that `ctx` may `permission`, with its row locked. One in the recycle bin is out of reach, unless the bin is meant. */
export const own = async (tx: EntityManager, ctx: BusContext, vmId: string, permission: Permission, where: 'out' | 'in' = 'out'): Promise<Vm> => (await ownRecord(tx, ctx, vmId, permission, where)).vm;

async function ownRecord(tx: EntityManager, ctx: BusContext, vmId: string, permission: Permission, where: 'out' | 'in'): Promise<VmRecord> {
  const record = await lockVm(tx, vmId);
  const vm = orThrow(allowed(whoOf(ctx), permission, record?.vm, { noun: 'vm', id: vmId, read: 'vm.read' }));
  orThrow(refuseBin(vm, where));
  checked(ctx, `You have the right ${permission} on the VM "${vm.name}".`);
  return record!;
}

/** A kind of task and what it begins with. */
interface Begun { readonly kind: string; readonly input: unknown }
const begun = <I>(kind: TaskKind<I>, input: NoInfer<I>): Begun => ({ kind: kind.kind, input });

/** The run of a VM that runs. */
const runOf = ({ id, status }: Vm): { vmId: VmId; hostId: HostId; epoch: number } => ({ vmId: id, hostId: status.hostId!, epoch: status.epoch });

/** What a machine has beside its guest's memory, bytes: video memory, firmware, the state of its devices. */
const besideMemory = 128 * 1024 * 1024;

export class VmCommands {
  private readonly find = gathered(async (ids) => (await vmsById(this.db, ids)).map(({ vm }) => vm));

  constructor(
    private readonly db: DataSource,
    private readonly bus: Pick<BusClient, 'request'>,
    private readonly tasks: TaskEngine,
    private readonly uids: UidRange,
  ) {}

  async create(input: InputOf<typeof createVm>, ctx: BusContext): Promise<Result<TaskRef>> {
    const parts = await this.checkParts(input, ctx);
    return runCommand(this.db, { ctx, operation: createVm, input }, async (tx) => {
      // Inside, so that a command that was accepted before is answered as it was then, whatever has gone since.
      if (!parts.ok) return parts;
      const { template, clusterId } = parts.value;
      const vmId = newUuid() as VmId;
      const ownerId = ctx.actor?.userId ?? null;
      orThrow(await keepFolder(tx, input.folderId));
      const uid = await takeUid(tx, vmId, this.uids);
      if (uid === null) return NoCapacity.fail('The site has no uid left for another VM: widen TOK_VM_UID_RANGE.', { refusals: [] });
      const ref = await this.tasks.start<CreateVmInput>(tx, createVmTask, {
        objectId: vmId, objectName: input.name, ctx, lock: [{ noun: 'vm', id: vmId }],
        input: {
          vmId, name: input.name, ownerId, folderId: input.folderId, hostId: input.hostId ?? null, start: input.start,
          disks: disksOf(input, template), nics: nicsOf(input),
        },
      });
      const vm = await insertVm(tx, {
        id: vmId, name: input.name, description: input.description, labels: input.labels, clusterId, templateId: input.templateId ?? null,
        ownerId, folderId: input.folderId, uid, spec: firstSpec(input, template), taskId: ref.taskId,
      });
      checked(ctx, `The name "${vm.name}" is free.`);
      await emit(tx, vmCreated, { objectId: vmId, data: { vm }, ctx, taskId: ref.taskId });
      return ref;
    });
  }

  start(input: InputOf<typeof startVm>, ctx: BusContext): Promise<Result<TaskRef>> {
    const { vmId, discardMemory, hostId = null } = input;
    return this.power(startVm, 'start', 'vm.power', input, ctx, (_, { saved }) =>
      (saved === null ? begun(startVmTask, { vmId, hostId }) : begun(wakeVmTask, { vmId, hostId, saved, discardMemory })));
  }

  stop(input: InputOf<typeof stopVm>, ctx: BusContext): Promise<Result<TaskRef>> {
    const { vmId, graceMs, agentWaitMs, acpiWaitMs, force } = input;
    return this.power(stopVm, 'stop', 'vm.power', input, ctx, () => begun(stopVmTask, { vmId, graceMs, agentWaitMs, acpiWaitMs, force }));
  }

  powerOff(input: InputOf<typeof powerOffVm>, ctx: BusContext): Promise<Result<TaskRef>> {
    return this.power(powerOffVm, 'power-off', 'vm.power', input, ctx, () => begun(powerOffVmTask, { vmId: input.vmId, graceMs: 0, force: true }));
  }

  reboot(input: InputOf<typeof rebootVm>, ctx: BusContext): Promise<Result<TaskRef>> {
    const { vmId, graceMs } = input;
    return this.power(rebootVm, 'reboot', 'vm.power', input, ctx, ({ status }) => begun(rebootVmTask, { vmId, graceMs, force: true, hostId: status.hostId ?? '' }));
  }

  pause(input: InputOf<typeof pauseVm>, ctx: BusContext): Promise<Result<TaskRef>> {
    return this.power(pauseVm, 'pause', 'vm.power', input, ctx, (vm) => begun(pauseVmTask, runOf(vm)));
  }

  resume(input: InputOf<typeof resumeVm>, ctx: BusContext): Promise<Result<TaskRef>> {
    return this.power(resumeVm, 'resume', 'vm.power', input, ctx, (vm) => begun(resumeVmTask, runOf(vm)));
  }

  reset(input: InputOf<typeof resetVm>, ctx: BusContext): Promise<Result<TaskRef>> {
    return this.power(resetVm, 'reset', 'vm.power', input, ctx, (vm) => begun(resetVmTask, runOf(vm)));
  }

  async hibernate(input: InputOf<typeof hibernateVm>, ctx: BusContext): Promise<Result<TaskRef>> {
    const refusal = await this.refuseDatastores([input.datastoreId], ctx);
    return this.power(hibernateVm, 'hibernate', 'vm.power', input, ctx, (vm) => {
      if (refusal) return refusal;
      const { name, spec, ownerId, folderId } = vm;
      const datastoreId = input.datastoreId ?? spec.disks[0]?.datastoreId ?? null;
      return begun(hibernateVmTask, { ...runOf(vm), name: volumeName(name, 'memory'), volumeId: newUuid() as VolumeId, datastoreId, sizeBytes: spec.memoryBytes + besideMemory, ownerId, folderId });
    });
  }

  async delete(input: InputOf<typeof deleteVm>, ctx: BusContext): Promise<Result<TaskRef>> {
    const what = input.force ? 'delete-forced' : 'delete';
    const holdMs = input.purge ? 0 : await holdMsOf(this.db, input.vmId);
    if (holdMs === 0) return this.power(deleteVm, what, 'vm.delete', input, ctx, (_, record) => this.deletion(record, input.keepDisks, ctx));
    return this.power(deleteVm, what, 'vm.delete', input, ctx, (vm) => {
      const end = endOf(vm, input.keepDisks);
      for (const { text, details } of wordsOfEnd(vm, end.keep, { ms: holdMs })) decided(ctx, text, details);
      return begun(recycleVmTask, { ...end, holdMs });
    });
  }

  purge(input: InputOf<typeof purgeVm>, ctx: BusContext): Promise<Result<TaskRef>> {
    return this.power(purgeVm, 'delete', 'vm.delete', input, ctx, (_, record) => this.deletion(record, undefined, ctx), 'in');
  }

  private deletion(record: VmRecord, keepDisks: string | undefined, ctx: BusContext): Begun {
    const deletion = deletionOf(record, keepDisks);
    for (const { text, details } of wordsOfEnd(record.vm, deletion.keep, null)) decided(ctx, text, details);
    return begun(deleteVmTask, deletion);
  }

  restore(input: InputOf<typeof restoreVm>, ctx: BusContext): Promise<Result<Vm>> {
    return runCommand(this.db, { ctx, operation: restoreVm, input }, async (tx) => {
      const vm = await own(tx, ctx, input.vmId, 'vm.delete', 'in');
      if (vm.taskId !== null) return VmBusy.fail('The VM is being purged.', { noun: 'vm', id: vm.id, taskId: vm.taskId, state: vm.status.state });
      const names = input.name === undefined ? namesToRestore(vm) : [input.name];
      for (const name of names) {
        if (!(await takeOutOfBin(tx, vm.id, name))) continue;
        const next = (await findVm(tx, vm.id))!.vm;
        await emit(tx, vmChanged, { objectId: vm.id, data: { vm: next, from: vm.status.state }, ctx });
        return next;
      }
      throw nameTaken(names.at(-1) ?? vm.name);
    });
  }

  update(input: InputOf<typeof updateVm>, ctx: BusContext): Promise<Result<Vm>> {
    return runCommand(this.db, { ctx, operation: updateVm, input }, async (tx) => {
      const vm = await own(tx, ctx, input.vmId, 'vm.modify');
      checkVersion(vm, input.version);
      if (input.folderId !== undefined && input.folderId !== vm.folderId) orThrow(await mayMove(tx, ctx, vm, input.folderId));
      const next = await changeVm(tx, vm.id, { name: input.name, description: input.description, labels: input.labels, folderId: input.folderId });
      await emit(tx, vmChanged, { objectId: vm.id, data: { vm: next, from: null }, ctx });
      return next;
    });
  }

  async get(vmId: string, ctx: BusContext): Promise<Result<Vm>> {
    return allowed(whoOf(ctx), 'vm.read', await this.find(vmId), { noun: 'vm', id: vmId, read: 'vm.read' });
  }

  /** Every operation of a VM that exists begins alike: right, state, task, row, event. */
  private power<O extends Operation>(
    operation: O, what: VmOperation, permission: Permission, input: InputOf<O> & { vmId: string }, ctx: BusContext, choose: (vm: Vm, record: VmRecord) => Begun | Result<never>,
    where: 'out' | 'in' = 'out',
  ): Promise<Result<ReplyOf<O>>> {
    return runCommand(this.db, { ctx, operation, input }, async (tx): Promise<Result<ReplyOf<O>>> => {
      const record = await ownRecord(tx, ctx, input.vmId, permission, where);
      const { vm } = record;
      const hostResponds = vm.status.hostId !== null && (await stateOfHost(tx, vm.status.hostId)) === 'connected';
      const via = begin({ id: vm.id, state: vm.status.state, taskId: vm.taskId, hostId: vm.status.hostId }, what, hostResponds);
      if (!via.ok) return via;
      checked(ctx, `The VM is ${vm.status.state}, which allows this, and no task works on it.`);
      const chosen = choose(vm, record);
      if ('ok' in chosen) return chosen;
      const ref = await this.tasks.start(tx, chosen.kind, { objectId: vm.id, objectName: vm.name, ctx, ownerId: vm.ownerId, lock: [{ noun: 'vm', id: vm.id }], input: chosen.input });
      const next = await changeVm(tx, vm.id, { taskId: ref.taskId, state: via.value, reason: null });
      await emit(tx, vmChanged, { objectId: vm.id, data: { vm: next, from: vm.status.state }, ctx, taskId: ref.taskId });
      return ok(ref as ReplyOf<O>);
    });
  }

  /** Everything that can be said about the request before anything is made: where it may go and what it is made from. */
  private async checkParts(input: InputOf<typeof createVm>, ctx: BusContext): Promise<Result<{ template: Template | null; clusterId: ClusterId }>> {
    const template = input.templateId === undefined ? ok(null) : await this.templateFor(input.templateId, ctx);
    if (!template.ok) return template;
    const refusal = refuseSize(input, template.value) ?? refuseSpec(firstSpec(input, template.value)) ?? (await this.refuseDatastores([input.datastoreId, ...input.disks.map((disk) => disk.datastoreId)], ctx)) ?? (await this.refuseNics(input, ctx));
    if (refusal) return refusal;
    if (input.hostId !== undefined && (await stateOfHost(this.db, input.hostId)) === undefined) {
      return NotFound.fail('There is no host with this id.', { noun: 'host', id: input.hostId });
    }
    const cluster = await clusterFor(this.db, input.clusterId);
    if (!cluster.ok) return cluster;
    if (!mayAccess(whoOf(ctx), 'vm.create', { clusterId: cluster.value.id, folderId: input.folderId })) {
      return PermissionDenied.fail('You lack the right vm.create on this cluster or folder.', { permission: 'vm.create' });
    }
    checked(ctx, `You may create VMs in the cluster "${cluster.value.name}"${input.folderId === null ? '' : ' and in this folder'}.`);
    if (template.value !== null) checked(ctx, `You may deploy the template "${template.value.name}".`);
    if (input.nics.length > 0) checked(ctx, 'The port groups are there, and you may use them.');
    return ok({ template: template.value, clusterId: cluster.value.id });
  }

  /** Asked with the user's own rights: a template that he may not see is not there. */
  private async templateFor(templateId: NonNullable<InputOf<typeof createVm>['templateId']>, ctx: BusContext): Promise<Result<Template>> {
    const template = await this.bus.request(getTemplate, { templateId }, { ctx });
    if (!template.ok) return template;
    if (mayAccess(whoOf(ctx), 'template.deploy', template.value)) return template;
    return PermissionDenied.fail('You lack the right template.deploy on this template.', { permission: 'template.deploy' });
  }

  private async refuseDatastores(ids: readonly (DatastoreId | undefined)[], ctx: BusContext): Promise<Result<never> | null> {
    for (const datastoreId of new Set(ids.filter((id) => id !== undefined))) {
      const store = await this.bus.request(getDatastore, { datastoreId }, { ctx });
      if (!store.ok) return store;
    }
    return null;
  }

  private async refuseNics(input: InputOf<typeof createVm>, ctx: BusContext): Promise<Result<never> | null> {
    const groups = new Set(input.nics.map((nic) => nic.portGroupId));
    if (groups.size === 0) return null;
    const known = await this.bus.request(checkPortGroups, { portGroupIds: [...groups] }, { ctx, as: 'system' });
    if (!known.ok) return known;
    const who = whoOf(ctx);
    const forbidden = [...groups].some((id) => !mayAccess(who, 'network.use', { id }));
    return forbidden ? PermissionDenied.fail('You lack the right network.use on this port group.', { permission: 'network.use' }) : null;
  }
}

/** What both ends of a VM's life need; a disk to keep that it does not have is thrown as a fault. */
const endOf = (vm: Vm, keepDisks: string | undefined) => ({ vmId: vm.id, running: holdsHost.includes(vm.status.state), keep: orThrow(keptDisks(vm, keepDisks)) });

function deletionOf({ vm, saved }: VmRecord, keepDisks: string | undefined): DeleteVmInput {
  const end = endOf(vm, keepDisks);
  return { ...end, volumeIds: [...vm.spec.disks.map((disk) => disk.volumeId), ...(saved === null ? [] : [saved.volumeId]), ...allOwnVolumesOf(vm)].filter((id) => !end.keep.some(({ volumeId }) => volumeId === id)) };
}

/** A move is a deletion here and a creation there. */
async function mayMove(tx: EntityManager, ctx: BusContext, vm: Vm, folderId: FolderId | null): Promise<Result<unknown>> {
  const who = whoOf(ctx);
  const lacking = !mayAccess(who, 'vm.delete', vm) ? 'vm.delete' : !mayAccess(who, 'vm.create', { clusterId: vm.clusterId, folderId }) ? 'vm.create' : null;
  if (lacking !== null) return PermissionDenied.fail(`You lack the right ${lacking}: a move needs vm.delete on the VM and vm.create in the folder.`, { permission: lacking });
  return keepFolder(tx, folderId);
}

function refuseSize({ diskBytes }: InputOf<typeof createVm>, template: Template | null): Result<never> | null {
  const wrong = (message: string): Result<never> => InvalidArgument.fail(`diskBytes: ${message}`, { issues: [{ path: 'diskBytes', message }] });
  if (diskBytes === undefined) return null;
  if (template === null) return wrong('goes with templateId');
  return diskBytes < template.diskBytes ? wrong(`at least the template’s ${sizeText(template.diskBytes)} (${template.diskBytes} bytes)`) : null;
}

/** The template's disk first, then the blank ones. */
function disksOf(input: InputOf<typeof createVm>, template: Template | null): PlannedDisk[] {
  const made = (): { diskId: DiskId; volumeId: VolumeId } => ({ diskId: newUuid() as DiskId, volumeId: newUuid() as VolumeId });
  const first: PlannedDisk[] = template === null ? [] : [{
    ...made(), sizeBytes: input.diskBytes ?? template.diskBytes, datastoreId: input.datastoreId ?? null, bus: template.hardware.diskBus,
    source: { volumeId: template.volumeId, mode: input.deploy },
  }];
  return [...first, ...input.disks.map(({ sizeBytes, datastoreId, bus }) => ({ ...made(), sizeBytes, datastoreId: datastoreId ?? input.datastoreId ?? null, bus, source: null }))];
}

const nicsOf = (input: InputOf<typeof createVm>): CreateVmInput['nics'] =>
  input.nics.map((nic) => ({ nicId: newUuid() as NicId, portId: newUuid() as PortId, portGroupId: nic.portGroupId, ip: nic.ip ?? null, mac: nic.mac ?? null }));
