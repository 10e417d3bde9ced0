// A VM's hardware after its creation: disks and NICs that come and go, also while it runs, and the sizes and settings that
// change now or, where a running VM cannot take them, wait as `pending` for its next start.
import { z } from 'zod';
import { defineCommand } from '../define.ts';
import {
  AddressTaken, Busy, ConfirmationNeeded, DatastoreFull, DeviceHeld, DeviceRefused, HostUnreachable, InUse, NoCapacity, NoFreeAddress, NoFreeSlot, NotFound, VersionConflict, VmBusy, WrongState,
} from '../errors.ts';
import { BootDevice, Clock, CpuTopology, DiskBus, Firmware, Tpm } from '../host/shapes.ts';
import { DatastoreId, DiskId, NicId, PortGroupId, VmId, VolumeId } from '../ids.ts';
import { Bytes, Ipv4, Mac, MemoryBytes, TaskRef, VolumeBytes } from '../values.ts';
import { Vm } from './vm.ts';

const change = [NotFound, VmBusy, Busy, WrongState, HostUnreachable];
const plug = [...change, NoFreeSlot, DeviceRefused];

export const attachDisk = defineCommand('compute.vm.attach-disk', {
  dryRun: true,
  summary: 'Attach a volume that no VM has, or a new blank one, to a VM that runs or is stopped', http: 'POST /v1/vms/:vmId/attach-disk', permission: 'vm.modify', on: 'vmId',
  input: z.strictObject({
    vmId: VmId, volumeId: VolumeId.optional().describe('an existing volume that no VM has'),
    sizeBytes: VolumeBytes.optional().describe('size of a new blank volume; instead of volumeId'), datastoreId: DatastoreId.optional().describe('where the new volume lies; chosen if absent'),
    bus: DiskBus.default('virtio'), readOnly: z.boolean().default(false),
  }).refine((input) => (input.volumeId === undefined) !== (input.sizeBytes === undefined), { message: 'either volumeId or sizeBytes', path: ['volumeId'] })
    .refine((input) => input.datastoreId === undefined || input.sizeBytes !== undefined, { message: 'goes with sizeBytes', path: ['datastoreId'] }),
  reply: TaskRef, errors: [...plug, InUse, DatastoreFull],
});
export const detachDisk = defineCommand('compute.vm.detach-disk', {
  dryRun: true,
  summary: 'Detach a disk, on a running VM when the guest has let it go; the volume stays unless `keep` is false', http: 'POST /v1/vms/:vmId/detach-disk', permission: 'vm.modify', on: 'vmId',
  input: z.strictObject({
    vmId: VmId, diskId: DiskId, keep: z.boolean().default(true).describe('false deletes the volume'),
    graceMs: z.int().min(1_000).max(120_000).default(20_000).describe('how long the guest is given to let the disk go'),
  }), reply: TaskRef, errors: [...change, DeviceHeld, DeviceRefused],
});
export const attachNic = defineCommand('compute.vm.attach-nic', {
  dryRun: true,
  summary: 'Attach a NIC on a port group to a VM that runs or is stopped', http: 'POST /v1/vms/:vmId/attach-nic', permission: 'vm.modify', on: 'vmId',
  input: z.strictObject({ vmId: VmId, portGroupId: PortGroupId, ip: Ipv4.optional().describe('a free address of the subnet; chosen if absent'), mac: Mac.optional() }),
  reply: TaskRef, errors: [...plug, NoFreeAddress, AddressTaken],
});
export const detachNic = defineCommand('compute.vm.detach-nic', {
  dryRun: true,
  summary: 'Detach a NIC and give its addresses back, on a running VM when the guest has let it go', http: 'POST /v1/vms/:vmId/detach-nic', permission: 'vm.modify', on: 'vmId',
  input: z.strictObject({ vmId: VmId, nicId: NicId, graceMs: z.int().min(1_000).max(120_000).default(20_000).describe('how long the guest is given to let the NIC go') }),
  reply: TaskRef, errors: [...change, DeviceHeld, DeviceRefused],
});

export const changeNic = defineCommand('compute.vm.change-nic', {
  dryRun: true,
  summary: 'Put a NIC on another port group or address; it keeps its MAC, and a running guest sees its link go down and up', http: 'POST /v1/vms/:vmId/change-nic', permission: 'vm.modify', on: 'vmId',
  input: z.strictObject({ vmId: VmId, nicId: NicId, portGroupId: PortGroupId, ip: Ipv4.optional().describe('a free address of the subnet; chosen if absent') }),
  reply: TaskRef, errors: [...change, NoFreeAddress, AddressTaken, DeviceRefused],
});

const shares = z.int().min(1).max(1_000_000).optional();
const ServiceChange = z.strictObject({ reservation: z.int().min(0).optional().describe('MHz'), shares, limit: z.int().min(1).nullable().optional().describe('MHz') });
const MemoryServiceChange = z.strictObject({ reservation: Bytes.optional(), shares, limit: Bytes.nullable().optional() });
const HaChange = z.strictObject({
  enabled: z.boolean().optional(), priority: z.enum(['low', 'medium', 'high']).optional(),
  onHostFault: z.enum(['restart', 'leave']).optional(), onGuestFault: z.enum(['restart', 'leave']).optional(),
});
export const ModifyVm = z.strictObject({
  vmId: VmId, cpu: CpuTopology.optional(), cpuService: ServiceChange.optional().describe('only what is given changes'),
  memoryBytes: MemoryBytes.optional(), memoryService: MemoryServiceChange.optional().describe('only what is given changes'), firmware: Firmware.optional(),
  bootOrder: z.array(BootDevice).min(1).max(3).optional(), clock: Clock.optional(), ha: HaChange.optional().describe('only what is given changes'),
  tpm: Tpm.optional().describe('`2.0` needs UEFI; `none` deletes the keys of the TPM at the next start'), forgetTpmKeys: z.boolean().optional().describe('confirms that the keys of the TPM may go'), version: z.int().optional(),
});
export const modifyVm = defineCommand('compute.vm.modify', {
  dryRun: true,
  summary: 'Change CPU, memory, firmware, TPM, boot order, clock or HA policy; what a running VM cannot take now is `pending` until its next start',
  description: 'Reservation, shares and limit of CPU and memory are in force at once, when the host has taken them; a reservation that the host cannot hold is refused.', http: 'POST /v1/vms/:vmId/modify', permission: 'vm.modify', on: 'vmId',
  input: ModifyVm, reply: TaskRef, errors: [...change, VersionConflict, DeviceRefused, NoCapacity, ConfirmationNeeded],
});
export const discardPending = defineCommand('compute.vm.discard-pending', {
  dryRun: true,
  summary: 'Take back every change that waits for the next start', http: 'POST /v1/vms/:vmId/discard-pending', permission: 'vm.modify', on: 'vmId',
  input: z.strictObject({ vmId: VmId }), reply: Vm, errors: [NotFound, VmBusy],
});
