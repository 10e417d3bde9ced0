// The recycle bin: VMs that were deleted and can still come back.
import { defineCommand } from '../define.ts';
import { Busy, HostUnreachable, InUse, NameTaken, NotFound, VmBusy, WrongState } from '../errors.ts';
import { VmId } from '../ids.ts';
import { Name, TaskRef } from '../values.ts';
import { z } from 'zod';
import { Vm } from './vm.ts';

export const restoreVm = defineCommand('compute.vm.restore', {
  dryRun: true,
  summary: 'Take a VM out of the recycle bin, stopped', description: 'A name that somebody took meanwhile gives way to one with `-restored` behind it, unless `name` says another.',
  http: 'POST /v1/vms/:vmId/restore', permission: 'vm.delete', on: 'vmId', input: z.strictObject({ vmId: VmId, name: Name.optional().describe('instead of the one it had') }), reply: Vm, errors: [NotFound, NameTaken, VmBusy, WrongState],
});
export const purgeVm = defineCommand('compute.vm.purge', {
  dryRun: true,
  summary: 'Delete a VM of the recycle bin for good, with its disks, ports and addresses', http: 'POST /v1/vms/:vmId/purge', permission: 'vm.delete', on: 'vmId', input: z.strictObject({ vmId: VmId }), reply: TaskRef, errors: [NotFound, VmBusy, Busy, WrongState, HostUnreachable, InUse],
});
