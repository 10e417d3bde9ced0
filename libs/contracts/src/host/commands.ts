// Commands to one host: `tok.v1.host.<hostId>.<noun>.<verb>`. Every one carries a command id; sent again it answers
// the recorded result. Those to a VM carry its epoch.
import { z } from 'zod';
import { defineHostCommand } from '../define.ts';
import { CommandCancelled, CommandRunning, HostCommandFailed, ImageRefused, DatastoreFull, InUse, JournalFailed, NotFoundOnHost, QemuFailed, StaleEpoch, VmBusy, WrongState } from '../errors.ts';
import { DatastoreId, SwitchId, UploadId, VmId, VolumeId } from '../ids.ts';
import { Bytes, Done, Name, VolumeBytes } from '../values.ts';
import { hostConsoleOpen } from './console.ts';
import { hostDriftCommands } from './drift.ts';
import { hostVmAdjust } from './vm-adjust.ts';
import { hostVmPause, hostVmReset, hostVmResume, hostVmSave } from './vm-power.ts';
import { CommandId, Epoch, HostVmSpec, SavedMemory, HostVmStatus, HostInventory, UnmanagedVm, VolumeFormat, VolumePlace, afterPath, filesPerPage, nextPath } from './shapes.ts';

const command = { commandId: CommandId };
const vmCommand = { commandId: CommandId, vmId: VmId, epoch: Epoch };
const vmErrors = [VmBusy, StaleEpoch, CommandRunning, JournalFailed, NotFoundOnHost];
const fileErrors = [CommandRunning, CommandCancelled, HostCommandFailed, JournalFailed];

export const hostVmDefine = defineHostCommand('vm.define', {
  summary: 'Keep a VM’s document on the host without starting it; replaces an older one of a stopped VM', actor: 'vm', probe: 'vm-directory',
  input: z.strictObject({ ...vmCommand, spec: HostVmSpec }), reply: HostVmStatus, errors: [...vmErrors, WrongState],
});
export const hostVmStart = defineHostCommand('vm.start', {
  summary: 'Start QEMU for a VM with the given document and epoch; answers when QMP says it runs', actor: 'vm', probe: 'qemu-process', timeoutMs: 30_000,
  input: z.strictObject({
    ...vmCommand, spec: HostVmSpec, paused: z.boolean().default(false),
    memory: z.strictObject({ place: VolumePlace, saved: SavedMemory }).nullable().default(null).describe('load the memory that `vm.save` has written; the VM is then paused'),
  }), reply: HostVmStatus, errors: [...vmErrors, QemuFailed, WrongState],
});
export const hostVmStop = defineHostCommand('vm.stop', {
  summary: 'Ask the guest to shut down; answers when QEMU is gone, after `graceMs` with the VM still running, or at once when the guest agent was to be asked and does not answer', actor: 'vm', probe: 'qemu-process', timeoutMs: 600_000,
  input: z.strictObject({ ...vmCommand, graceMs: z.int().min(0).max(600_000), by: z.enum(['agent', 'acpi', 'both']).default('both').describe('both: agent first, ACPI after half of the time') }), reply: HostVmStatus, errors: [...vmErrors, WrongState],
});
export const hostVmPowerOff = defineHostCommand('vm.power-off', {
  summary: 'End QEMU at once; taken in every state', actor: 'vm', probe: 'qemu-process', timeoutMs: 15_000,
  input: z.strictObject(vmCommand), reply: HostVmStatus, errors: vmErrors,
});
export const hostVmDelete = defineHostCommand('vm.delete', {
  summary: 'Forget a stopped VM: ports, directory; volumes are not touched. A tombstone answers repeats', actor: 'vm', probe: 'vm-directory',
  input: z.strictObject(vmCommand), reply: Done, errors: [...vmErrors, WrongState],
});
export const hostVmStatus = defineHostCommand('vm.status', {
  summary: 'What the host sees of one VM', actor: 'vm', probe: 'read-only',
  input: z.strictObject({ vmId: VmId }), reply: HostVmStatus,
});

export const hostVolumeCreate = defineHostCommand('volume.create', {
  summary: 'Make an empty volume, or with `backing` a linked clone over a read-only volume', actor: 'host', probe: 'file', timeoutMs: 30_000,
  input: z.strictObject({ ...command, place: VolumePlace, sizeBytes: VolumeBytes, backing: VolumePlace.nullable() }),
  reply: z.strictObject({ allocatedBytes: Bytes }), errors: [...fileErrors, DatastoreFull, NotFoundOnHost],
});
export const hostVolumeCopy = defineHostCommand('volume.copy', {
  summary: 'Full copy of a volume’s data into a new one (reports `volume.progress`); a larger size grows the copy', actor: 'host', probe: 'file', timeoutMs: 24 * 3600_000,
  input: z.strictObject({ ...command, from: VolumePlace, to: VolumePlace, sizeBytes: VolumeBytes }),
  reply: z.strictObject({ allocatedBytes: Bytes }), errors: [...fileErrors, DatastoreFull, NotFoundOnHost],
});
export const hostVolumeDelete = defineHostCommand('volume.delete', {
  summary: 'Remove a volume’s file; a file that is not there is already deleted', actor: 'host', probe: 'file',
  input: z.strictObject({ ...command, place: VolumePlace }), reply: Done, errors: [...fileErrors, InUse],
});
export const hostVolumeCancel = defineHostCommand('volume.cancel', {
  summary: 'Abort a running copy or ingest and remove what it wrote', actor: 'host', probe: 'file',
  input: z.strictObject({ ...command, targetCommandId: CommandId }), reply: Done,
});
export const hostUploadWrite = defineHostCommand('upload.write', {
  summary: 'Write one piece of an upload at its offset; the same piece again changes nothing', actor: 'host', probe: 'file',
  input: z.strictObject({ uploadId: UploadId, datastorePath: z.string().startsWith('/').max(500), offset: Bytes, data: z.base64().max(720_000) }),
  reply: z.strictObject({ sizeBytes: Bytes }), errors: [HostCommandFailed, DatastoreFull],
});
export const hostUploadDiscard = defineHostCommand('upload.discard', {
  summary: 'Remove an upload’s staging file', actor: 'host', probe: 'file',
  input: z.strictObject({ ...command, uploadId: UploadId, datastorePath: z.string().startsWith('/').max(500) }), reply: Done,
});
export const hostVolumeIngest = defineHostCommand('volume.ingest', {
  summary: 'Check an upload in a sandbox and convert it to a fresh read-only volume (security.md S1 to S5)', actor: 'host', probe: 'file', timeoutMs: 24 * 3600_000,
  input: z.strictObject({
    ...command, uploadId: UploadId, datastorePath: z.string().startsWith('/').max(500), format: VolumeFormat, sizeBytes: Bytes,
    sha256: z.string().regex(/^[0-9a-f]{64}$/).nullable(), to: VolumePlace, maxVirtualBytes: Bytes,
  }),
  reply: z.strictObject({ virtualBytes: Bytes, allocatedBytes: Bytes, sha256: z.string() }), errors: [...fileErrors, ImageRefused, DatastoreFull, NotFoundOnHost],
});
export const hostDatastoreProbe = defineHostCommand('datastore.probe', {
  summary: 'See whether a directory can serve as datastore here: exists, writable, same marker as on other hosts, size', actor: 'host', probe: 'read-only',
  input: z.strictObject({ datastoreId: DatastoreId, path: z.string().startsWith('/').max(500), initialise: z.boolean() }),
  reply: z.strictObject({ totalBytes: Bytes, freeBytes: Bytes, fileSystem: z.string(), marker: z.string().nullable() }), errors: [HostCommandFailed],
});
export const hostDatastoreScan = defineHostCommand('datastore.scan', {
  summary: 'List the volume files of a datastore, by their paths', actor: 'host', probe: 'read-only',
  input: z.strictObject({ path: z.string().startsWith('/').max(500), ...afterPath }),
  reply: z.strictObject({ files: z.array(z.strictObject({ relativePath: z.string(), volumeId: VolumeId, allocatedBytes: Bytes })).max(filesPerPage), next: nextPath }), errors: [HostCommandFailed],
});

export const hostSwitchApply = defineHostCommand('switch.apply', {
  summary: 'Make the host’s part of a distributed switch as told: bridge, uplinks, MTU', actor: 'host', probe: 'switch', timeoutMs: 20_000,
  input: z.strictObject({ ...command, switchId: SwitchId, name: Name, mtu: z.int().min(576).max(9216), uplinks: z.array(z.string().max(64)), generation: z.int() }),
  reply: z.strictObject({ bridge: z.string() }), errors: [HostCommandFailed, CommandRunning, JournalFailed],
});
export const hostSwitchRemove = defineHostCommand('switch.remove', {
  summary: 'Remove the host’s part of a distributed switch; refused while a VM’s port is on it', actor: 'host', probe: 'switch',
  input: z.strictObject({ ...command, switchId: SwitchId }), reply: Done, errors: [HostCommandFailed, InUse, CommandRunning, JournalFailed],
});

export const hostStatus = defineHostCommand('host.status', {
  summary: 'Inventory, VMs, unmanaged QEMUs', actor: 'host', probe: 'read-only',
  input: z.strictObject({}),
  reply: z.strictObject({ inventory: HostInventory, vms: z.array(HostVmStatus), unmanaged: z.array(UnmanagedVm) }),
});
export const hostConfirm = defineHostCommand('host.confirm', {
  summary: 'The tasks of these command ids have ended: their recorded results may be forgotten', actor: 'host', probe: 'read-only',
  input: z.strictObject({ commandIds: z.array(CommandId).max(1000) }), reply: Done,
});

export const hostCommands = [
  hostVmDefine, hostVmStart, hostVmStop, hostVmPowerOff, hostVmDelete, hostVmAdjust, hostVmPause, hostVmResume, hostVmReset, hostVmSave, hostVmStatus, hostConsoleOpen,
  hostVolumeCreate, hostVolumeCopy, hostVolumeDelete, hostVolumeCancel, hostVolumeIngest, hostUploadWrite, hostUploadDiscard,
  hostDatastoreProbe, hostDatastoreScan, hostSwitchApply, hostSwitchRemove, hostStatus, hostConfirm, ...hostDriftCommands,
] as const;
