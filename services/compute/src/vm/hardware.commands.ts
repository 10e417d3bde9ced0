// Decides whether a VM's hardware may be changed, and starts the task that does it, in one transaction as for every
// command to a VM. What the task needs is decided here and stays as it is: the VM is the task's until it ends.
import type { DataSource, EntityManager } from 'typeorm';
import { checked, decided, type BusClient, type BusContext } from '#bus';
import {
  InUse, PermissionDenied, VmBusy, WrongState, attachDisk, attachNic, changeNic, checkPortGroups, detachDisk, detachNic, discardPending, getDatastore, getVolume, modifyVm, vmChanged,
  type DiskId, type InputOf, type NicId, type Operation, type PortId, type ReplyOf, type TaskRef, type Vm, type Volume, type VolumeId,
} from '#contracts';
import { mayAccess, whoOf } from '#database';
import { newUuid, ok, orThrow, type Result } from '#kernel';
import { emit, runCommand, type TaskEngine, type TaskKind } from '#tasks';
import { stateOfHost } from '../host/host-order.store.ts';
import { attachDiskTask, attachNicTask, type AttachDiskInput, type AttachNicInput } from './attach.task.ts';
import { changeNicTask, type ChangeNicInput } from './change-nic.task.ts';
import { diskName } from './create-vm.task.ts';
import { detachDiskTask, detachNicTask, type DetachDiskInput, type DetachNicInput } from './detach.task.ts';
import { beginModify, detachable, diskSlot, nicOf, nicSlot, type Opening } from './hardware.ts';
import { modifyVmTask, type ModifyVmInput } from './modify-vm.task.ts';
import { changed } from './pending.ts';
import { refuseLoss } from './tpm.ts';
import { own } from './vm.commands.ts';
import { wordsOfChange } from './vm-plan.ts';
import { changeVm, checkVersion } from './vm.store.ts';

type Decide<I> = (vm: Vm, opening: Opening) => Result<I>;

export class HardwareCommands {
  constructor(private readonly db: DataSource, private readonly bus: Pick<BusClient, 'request'>, private readonly tasks: TaskEngine) {}

  async attachDisk(input: InputOf<typeof attachDisk>, ctx: BusContext): Promise<Result<TaskRef>> {
    const volume = input.volumeId === undefined ? await this.refuseDatastore(input.datastoreId, ctx) : await this.volumeFor(input.volumeId, ctx);
    return this.begin<typeof attachDisk, AttachDiskInput>(attachDisk, attachDiskTask, input, ctx, (vm, opening) => {
      // Inside, so that a command that was accepted before is answered as it was then.
      if (!volume.ok) return volume;
      const slot = diskSlot(vm.spec, input.bus, opening.running);
      if (!slot.ok) return slot;
      decided(ctx, `the disk gets ${input.bus} slot ${slot.value}${opening.running === null ? '' : ' and is plugged into the running guest'}`, { slot: slot.value, hot: opening.running !== null });
      const isNew = volume.value === null;
      const disk = {
        diskId: newUuid() as DiskId, volumeId: volume.value?.id ?? (newUuid() as VolumeId), sizeBytes: volume.value?.sizeBytes ?? input.sizeBytes ?? 0,
        datastoreId: volume.value?.datastoreId ?? input.datastoreId ?? null, bus: input.bus,
      };
      return ok({ vmId: vm.id, ...opening, slot: slot.value, readOnly: input.readOnly, disk, isNew, name: diskName(vm.name, slot.value), ownerId: vm.ownerId, folderId: vm.folderId });
    });
  }

  detachDisk(input: InputOf<typeof detachDisk>, ctx: BusContext): Promise<Result<TaskRef>> {
    return this.begin<typeof detachDisk, DetachDiskInput>(detachDisk, detachDiskTask, input, ctx, (vm, opening) => {
      const disk = detachable(vm.spec, input.diskId, opening.running);
      if (!disk.ok) return disk;
      decided(ctx, `${opening.running === null ? 'nothing runs, so no guest is asked' : 'the guest is asked to let the disk go'}; its volume ${input.keep ? 'stays as a free one' : 'is deleted'}`, { volumeId: disk.value.volumeId, goes: !input.keep });
      return ok({ vmId: vm.id, ...opening, disk: disk.value, keep: input.keep, waitMs: input.graceMs });
    });
  }

  async attachNic(input: InputOf<typeof attachNic>, ctx: BusContext): Promise<Result<TaskRef>> {
    const refusal = await this.refusePortGroup(input.portGroupId, ctx);
    return this.begin<typeof attachNic, AttachNicInput>(attachNic, attachNicTask, input, ctx, (vm, opening) => {
      if (refusal) return refusal;
      const slot = nicSlot(vm.spec);
      if (!slot.ok) return slot;
      decided(ctx, `the NIC gets slot ${slot.value}${opening.running === null ? '' : ' and is plugged into the running guest'}`, { slot: slot.value, hot: opening.running !== null });
      const nic = { nicId: newUuid() as NicId, portId: newUuid() as PortId, portGroupId: input.portGroupId, ip: input.ip ?? null, mac: input.mac ?? null };
      return ok({ vmId: vm.id, ...opening, slot: slot.value, nic, ownerId: vm.ownerId, folderId: vm.folderId });
    });
  }

  async changeNic(input: InputOf<typeof changeNic>, ctx: BusContext): Promise<Result<TaskRef>> {
    const refusal = await this.refusePortGroup(input.portGroupId, ctx);
    return this.begin<typeof changeNic, ChangeNicInput>(changeNic, changeNicTask, input, ctx, (vm, opening) => {
      const nic = nicOf(vm.spec, input.nicId);
      if (refusal) return refusal;
      if (!nic.ok) return nic;
      return ok({ vmId: vm.id, ...opening, nic: nic.value, portGroupId: input.portGroupId, ip: input.ip ?? null });
    });
  }

  detachNic(input: InputOf<typeof detachNic>, ctx: BusContext): Promise<Result<TaskRef>> {
    return this.begin<typeof detachNic, DetachNicInput>(detachNic, detachNicTask, input, ctx, (vm, opening) => {
      const nic = nicOf(vm.spec, input.nicId);
      if (!nic.ok) return nic;
      decided(ctx, `${opening.running === null ? 'nothing runs, so no guest is asked' : 'the guest is asked to let the NIC go'}; ${[nic.value.mac, nic.value.ip].filter(Boolean).join(' and ')} are given back`, { mac: nic.value.mac, ip: nic.value.ip });
      return ok({ vmId: vm.id, ...opening, nic: nic.value, waitMs: input.graceMs });
    });
  }

  modify(input: InputOf<typeof modifyVm>, ctx: BusContext): Promise<Result<TaskRef>> {
    return this.begin<typeof modifyVm, ModifyVmInput>(modifyVm, modifyVmTask, input, ctx, (vm, opening) => {
      const { vmId, version, forgetTpmKeys, ...change } = input;
      checkVersion(vm, version);
      const was = { spec: vm.spec, pending: vm.pending };
      const next = changed(was, change, opening.running !== null);
      if (!next.ok) return next;
      const loss = refuseLoss(vm, next.value, forgetTpmKeys === true);
      if (!loss.ok) return loss;
      for (const { text, details } of wordsOfChange(was, next.value)) decided(ctx, text, details);
      return ok({ vmId, ...opening, was, next: next.value });
    });
  }

  discardPending(input: InputOf<typeof discardPending>, ctx: BusContext): Promise<Result<Vm>> {
    return runCommand(this.db, { ctx, operation: discardPending, input }, async (tx) => {
      const vm = await own(tx, ctx, input.vmId, 'vm.modify');
      if (vm.taskId !== null) return VmBusy.fail('A task works on the VM.', { noun: 'vm', id: vm.id, taskId: vm.taskId, state: vm.status.state });
      if (vm.pending === null) return vm;
      const next = await changeVm(tx, vm.id, { pending: null });
      await emit(tx, vmChanged, { objectId: vm.id, data: { vm: next, from: null }, ctx });
      return next;
    });
  }

  /** Every change begins alike: right, state, what is wanted, task, row, event. */
  private begin<O extends Operation, I extends { vmId: string }>(operation: O, kind: TaskKind<I>, input: InputOf<O> & { vmId: string }, ctx: BusContext, decide: Decide<I>): Promise<Result<ReplyOf<O>>> {
    return runCommand(this.db, { ctx, operation, input }, async (tx): Promise<Result<ReplyOf<O>>> => {
      const vm = await own(tx, ctx, input.vmId, 'vm.modify');
      const opening = beginModify(vm, await hostResponds(tx, vm));
      if (!opening.ok) return opening;
      checked(ctx, `The VM is ${vm.status.state}, which allows this, and no task works on it.`);
      const ref = await this.tasks.start<I>(tx, kind, {
        objectId: vm.id, objectName: vm.name, ctx, ownerId: vm.ownerId, lock: [{ noun: 'vm', id: vm.id }], input: orThrow(decide(vm, opening.value)),
      });
      const next = await changeVm(tx, vm.id, { taskId: ref.taskId });
      await emit(tx, vmChanged, { objectId: vm.id, data: { vm: next, from: null }, ctx, taskId: ref.taskId });
      return ok(ref as ReplyOf<O>);
    });
  }

  /** Asked with the user's own rights: a volume that he may not see is not there. */
  private async volumeFor(volumeId: VolumeId, ctx: BusContext): Promise<Result<Volume>> {
    const volume = await this.bus.request(getVolume, { volumeId }, { ctx });
    if (!volume.ok) return volume;
    const { attachedTo, state, use } = volume.value;
    if (!mayAccess(whoOf(ctx), 'volume.modify', volume.value)) return PermissionDenied.fail('You lack the right volume.modify on this volume.', { permission: 'volume.modify' });
    if (attachedTo !== null) return InUse.fail('The volume belongs to a VM.', { by: [{ noun: 'vm', id: attachedTo }] });
    if (state !== 'ready' || use !== 'disk') return WrongState.fail(use === 'disk' ? `The volume is ${state}.` : 'The volume of an image cannot be attached; make a copy or a linked clone of it.', { state: use === 'disk' ? state : use, allowed: ['ready'] });
    return volume;
  }

  private async refuseDatastore(datastoreId: InputOf<typeof attachDisk>['datastoreId'], ctx: BusContext): Promise<Result<null>> {
    const store = datastoreId === undefined ? ok(null) : await this.bus.request(getDatastore, { datastoreId }, { ctx });
    return store.ok ? ok(null) : store;
  }

  private async refusePortGroup(portGroupId: InputOf<typeof attachNic>['portGroupId'], ctx: BusContext): Promise<Result<never> | null> {
    const known = await this.bus.request(checkPortGroups, { portGroupIds: [portGroupId] }, { ctx, as: 'system' });
    if (!known.ok) return known;
    return mayAccess(whoOf(ctx), 'network.use', { id: portGroupId }) ? null : PermissionDenied.fail('You lack the right network.use on this port group.', { permission: 'network.use' });
  }
}

const hostResponds = async (tx: EntityManager, { status: { hostId } }: Vm): Promise<boolean> => hostId !== null && (await stateOfHost(tx, hostId)) === 'connected';
