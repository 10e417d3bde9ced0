// Reports of a host: `tok.v1.rpt.<hostId>.<noun>.<verb>`, ordered by (bootId, epoch, seq); and its heartbeat.
import { z } from 'zod';
import { defineReport } from '../define.ts';
import { VolumeId } from '../ids.ts';
import { Bytes } from '../values.ts';
import { CommandId, HostInventory, HostVmStatus, ReportOrder, UnmanagedVm } from './shapes.ts';

export const hostJoined = defineReport('host.joined', {
  summary: 'The agent has started, has looked at its world and takes commands; sent again after each reconnect',
  body: z.strictObject({ order: ReportOrder, inventory: HostInventory, vms: z.array(HostVmStatus), unmanaged: z.array(UnmanagedVm) }),
});
export const hostVmChanged = defineReport('vm.changed', { summary: 'What the host sees of a VM has changed', body: z.strictObject({ order: ReportOrder, vm: HostVmStatus }) });
export const hostVolumeProgress = defineReport('volume.progress', {
  summary: 'How far a copy or ingest is; at most twice a second',
  body: z.strictObject({ order: ReportOrder, volumeId: VolumeId, commandId: CommandId, doneBytes: Bytes, totalBytes: Bytes }),
});
export const reports = [hostJoined, hostVmChanged, hostVolumeProgress] as const;

/** Heartbeat on `tok.v1.hb.<hostId>`, core NATS, every second. `usage` is for monitoring and balancing, never for deciding who is alive. */
export const Heartbeat = z.strictObject({
  order: ReportOrder, vms: z.int(), ready: z.boolean(),
  usage: z.strictObject({ cpuPercent: z.number(), memoryUsedBytes: Bytes }).nullable(),
});
export type Heartbeat = z.infer<typeof Heartbeat>;
