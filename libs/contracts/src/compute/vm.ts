// VMs: what was asked (spec), what is observed (status), and the operations of their life.
import { z } from 'zod';
import { defineCommand, defineEvent, defineQuery } from '../define.ts';
import { AddressTaken, Busy, DatastoreFull, HostUnreachable, InUse, NameTaken, NoCapacity, NoFreeAddress, NotFound, VersionConflict, VmBusy, WrongState } from '../errors.ts';
import { ClusterId, DatastoreId, DiskId, FolderId, HostId, NicId, PortGroupId, PortId, TaskId, TemplateId, UserId, VmId, VolumeId } from '../ids.ts';
import { folderFilter, labelInput, listInput, searchInput } from '../list.ts';
import { At, Description, Ipv4, Labels, Mac, MemoryBytes, Name, ownedFields, pageOf, queryFlag, TaskRef, VolumeBytes } from '../values.ts';
import { GuestMemory } from '../host/guest-memory.ts';
import { BootDevice, Clock, CpuTopology, DiskBus, Firmware, MemoryService, ResourceService, Tpm } from '../host/shapes.ts';

export const VmState = z.enum(['creating', 'stopped', 'starting', 'running', 'pausing', 'paused', 'stopping', 'hibernating', 'hibernated', 'migrating', 'deleting', 'failed', 'unknown']);
export type VmState = z.infer<typeof VmState>;

/** What HA does for the VM: whether, in which order, and what on a host's and on a guest's fault. */
export const HaPolicy = z.strictObject({
  enabled: z.boolean().default(true), priority: z.enum(['low', 'medium', 'high']).default('medium'),
  onHostFault: z.enum(['restart', 'leave']).default('restart'), onGuestFault: z.enum(['restart', 'leave']).default('restart'),
});

export const VmDisk = z.strictObject({ diskId: DiskId, slot: z.int(), volumeId: VolumeId, datastoreId: DatastoreId, sizeBytes: VolumeBytes, bus: DiskBus, readOnly: z.boolean() });
export const VmNic = z.strictObject({ nicId: NicId, slot: z.int(), portId: PortId, portGroupId: PortGroupId, mac: Mac, ip: Ipv4.nullable() });
export const VmSpec = z.strictObject({
  cpu: CpuTopology, cpuService: ResourceService, memoryBytes: MemoryBytes, memoryService: MemoryService,
  firmware: Firmware, bootOrder: z.array(BootDevice), clock: Clock.prefault({}), disks: z.array(VmDisk), nics: z.array(VmNic), ha: HaPolicy, tpm: Tpm.default('none'),
});
/** Changes that the running VM could not take: each stands beside what is in force in `spec`, and takes effect at the next start. */
export const VmPending = VmSpec.pick({ cpu: true, cpuService: true, memoryBytes: true, memoryService: true, firmware: true, bootOrder: true, clock: true }).partial().extend({ tpm: Tpm.optional() });
/** Where a hibernated VM’s memory lies; with it the VM can be woken on every host that sees the datastore. */
export const SavedState = z.strictObject({ volumeId: VolumeId, datastoreId: DatastoreId, sizeBytes: VolumeBytes, savedAt: At });
/** A volume of the VM’s beside its disks: made by the first start that needs it, and deleted with the VM; that of a TPM also when a start has taken the TPM away. */
export const OwnVolume = z.strictObject({ volumeId: VolumeId, datastoreId: DatastoreId });
/** Apart from the task that works on the VM. `hostId` is where it runs, or ran last. */
export const VmStatus = z.strictObject({ state: VmState, observedAt: At.nullable(), epoch: z.int(), seq: z.int(), hostId: HostId.nullable(), pid: z.int().nullable(), startedAt: At.nullable(), reason: z.string().nullable(), guestAgent: z.boolean(), addresses: z.array(z.string()),
  saved: SavedState.nullable().describe('the memory of a hibernated VM'),
  tpm: OwnVolume.nullable().default(null).describe('where the TPM keeps its keys; null = it has none yet'),
  uefiVars: OwnVolume.nullable().default(null).describe('where UEFI keeps its variables, such as boot entries; null = it has none yet'),
  memory: GuestMemory.nullable().default(null).describe('what the guest has of its memory; null = nothing runs, or it has not been looked at'),
});
export const Vm = z.strictObject({
  id: VmId, name: Name, description: Description, labels: Labels, clusterId: ClusterId, templateId: TemplateId.nullable(), uid: z.int(),
  spec: VmSpec, pending: VmPending.nullable().default(null).describe('what waits for the next start'), status: VmStatus, taskId: TaskId.nullable().describe('the task that works on it now'),
  recycled: z.strictObject({ at: At, purgeAt: At }).nullable().describe('in the recycle bin since `at`, deleted for good at `purgeAt`; null = not in the bin'), ...ownedFields,
}).meta({ id: 'Vm' });
export type Vm = z.infer<typeof Vm>;
export type VmSpec = z.infer<typeof VmSpec>;
export type VmStatus = z.infer<typeof VmStatus>;
export type VmPending = z.infer<typeof VmPending>;

const NewDisk = z.strictObject({ sizeBytes: VolumeBytes, datastoreId: DatastoreId.optional(), bus: DiskBus.default('virtio') });
const NewNic = z.strictObject({ portGroupId: PortGroupId, ip: Ipv4.optional().describe('a free address of the subnet; chosen if absent'), mac: Mac.optional() });
export const CreateVm = z.strictObject({
  name: Name, description: Description.default(''), labels: Labels.default({}), folderId: FolderId.nullable().default(null),
  templateId: TemplateId.optional().describe('deploy from this template; without it the disks are blank'),
  deploy: z.enum(['full', 'linked']).default('full').describe('copy the template’s volume, or a linked clone over it'),
  clusterId: ClusterId.optional().describe('the only cluster if absent'), hostId: HostId.optional().describe('this host and no other'),
  datastoreId: DatastoreId.optional().describe('for disks that name none; chosen if absent'),
  cpu: CpuTopology.optional(), cpuService: ResourceService.prefault({}), memoryBytes: MemoryBytes.optional(), memoryService: MemoryService.prefault({}),
  firmware: Firmware.optional(), bootOrder: z.array(BootDevice).min(1).max(3).optional(), clock: Clock.prefault({}),
  tpm: Tpm.optional().describe('as the template says, or `none`; `2.0` needs UEFI; every VM gets keys of its own'),
  diskBytes: VolumeBytes.optional().describe('size of the first disk when deployed from a template; not below the template’s'),
  disks: z.array(NewDisk).max(16).default([]).describe('further blank disks'), nics: z.array(NewNic).max(8).default([]),
  ha: HaPolicy.prefault({}), start: z.boolean().default(true).describe('start it when it is made'),
});

const KeepDisks = z.string().max(800).refine((text) => text === 'all' || text.split(',').every((id) => DiskId.safeParse(id).success), 'all, or ids of disks with commas between');

const change = [NotFound, VmBusy, Busy, WrongState, HostUnreachable];
export const createVm = defineCommand('compute.vm.create', {
  dryRun: true,
  summary: 'Create a VM by specification, or deploy it from a template, placed automatically', http: 'POST /v1/vms', permission: 'vm.create',
  input: CreateVm, reply: TaskRef, errors: [NotFound, NameTaken, NoCapacity, NoFreeAddress, AddressTaken, DatastoreFull],
});
export const listVms = defineQuery('compute.vm.list', {
  summary: 'List VMs', http: 'GET /v1/vms', permission: 'vm.read',
  description: 'VMs in the recycle bin are listed with `recycled=true` alone.',
  input: z.strictObject({
    ...listInput(Vm, ['createdAt', 'name']), ...searchInput('part of the name, or the beginning of an IP or MAC address'),
    name: Name.optional(), state: VmState.optional(), hostId: HostId.optional(), clusterId: ClusterId.optional(), ip: Ipv4.optional(), mac: Mac.optional(),
    ...folderFilter, ...labelInput, templateId: TemplateId.optional().describe('deployed from this template'), ownerId: UserId.optional(),
    recycled: queryFlag.default(false).describe('those in the recycle bin'),
  }),
  reply: pageOf(Vm),
});
export const getVm = defineQuery('compute.vm.get', { summary: 'Show a VM', http: 'GET /v1/vms/:vmId', permission: 'vm.read', on: 'vmId', input: z.strictObject({ vmId: VmId }), reply: Vm, errors: [NotFound] });
export const startVm = defineCommand('compute.vm.start', { dryRun: true, summary: 'Start a stopped VM, or wake a hibernated one on any host that sees its memory', http: 'POST /v1/vms/:vmId/start', permission: 'vm.power', on: 'vmId',
  input: z.strictObject({ vmId: VmId, hostId: HostId.optional().describe('this host and no other'), discardMemory: z.boolean().default(false).describe('boot a hibernated VM anew, as after a power cut; its saved memory is deleted') }), reply: TaskRef, errors: [...change, NoCapacity] });
export const stopVm = defineCommand('compute.vm.stop', {
  dryRun: true,
  summary: 'Shut the guest down: guest agent, then ACPI, then with `force` the power; each wait is a step of its own', http: 'POST /v1/vms/:vmId/stop', permission: 'vm.power', on: 'vmId',
  input: z.strictObject({
    vmId: VmId, graceMs: z.int().min(0).max(600_000).default(60_000).describe('for guest agent and ACPI together, where their own waits are not given'),
    agentWaitMs: z.int().min(0).max(600_000).optional().describe('how long the guest agent is waited for; 0 = it is not asked'), acpiWaitMs: z.int().min(0).max(600_000).optional().describe('how long the guest is waited for after the power button; 0 = it is not pressed'),
    force: z.boolean().default(true).describe('cut the power when both have been in vain'),
  }), reply: TaskRef, errors: change,
});
export const powerOffVm = defineCommand('compute.vm.power-off', { dryRun: true, summary: 'Cut the power of a VM', http: 'POST /v1/vms/:vmId/power-off', permission: 'vm.power', on: 'vmId', input: z.strictObject({ vmId: VmId }), reply: TaskRef, errors: change });
export const rebootVm = defineCommand('compute.vm.reboot', { dryRun: true, summary: 'Stop and start again, on the same host if it can', http: 'POST /v1/vms/:vmId/reboot', permission: 'vm.power', on: 'vmId', input: z.strictObject({ vmId: VmId, graceMs: z.int().min(0).max(600_000).default(60_000) }), reply: TaskRef, errors: change });
export const updateVm = defineCommand('compute.vm.update', {
  dryRun: true,
  summary: 'Change name, description, labels or folder', description: '`labels` replaces all of them.', http: 'PATCH /v1/vms/:vmId', permission: 'vm.modify', on: 'vmId',
  input: z.strictObject({ vmId: VmId, name: Name.optional(), description: Description.optional(), labels: Labels.optional(), folderId: FolderId.nullable().optional(), version: z.int().optional() }), reply: Vm, errors: [NotFound, NameTaken, VersionConflict, WrongState],
});
export const deleteVm = defineCommand('compute.vm.delete', {
  dryRun: true,
  summary: 'Delete a VM: into the recycle bin, or for good with `purge`; a running one only with `force`',
  description: 'In the bin the VM keeps its disks, MAC and IP addresses and gives its name and capacity free; it is deleted for good when the hold time of its cluster is over.',
  http: 'DELETE /v1/vms/:vmId', permission: 'vm.delete', on: 'vmId',
  input: z.strictObject({
    vmId: VmId, force: queryFlag.default(false), purge: queryFlag.default(false).describe('for good and at once, past the recycle bin'),
    keepDisks: KeepDisks.optional().describe('disks that stay as free volumes: all, or ids of disks with commas between'),
  }), reply: TaskRef, errors: [...change, InUse],
});

export const vmCreated = defineEvent('compute.vm.created', { summary: 'A VM was accepted; a task makes it', data: z.strictObject({ vm: Vm }) });
export const vmChanged = defineEvent('compute.vm.changed', { summary: 'A VM changed its spec or its state', data: z.strictObject({ vm: Vm, from: VmState.nullable() }) });
export const vmDeleted = defineEvent('compute.vm.deleted', { summary: 'A VM and what it held are gone', data: z.strictObject({ vmId: VmId, name: Name }) });
