// What is done to a VM that runs beside starting and stopping it: holding it still, resetting it, putting it to sleep.
import { z } from 'zod';
import { defineCommand } from '../define.ts';
import { Busy, DatastoreFull, HostUnreachable, NotFound, VmBusy, WrongState } from '../errors.ts';
import { DatastoreId, VmId } from '../ids.ts';
import { TaskRef } from '../values.ts';

const one = z.strictObject({ vmId: VmId });
const errors = [NotFound, VmBusy, Busy, WrongState, HostUnreachable];

export const pauseVm = defineCommand('compute.vm.pause', { dryRun: true, summary: 'Hold a running guest still; it keeps its memory and its place on the host', http: 'POST /v1/vms/:vmId/pause', permission: 'vm.power', on: 'vmId', input: one, reply: TaskRef, errors });
export const resumeVm = defineCommand('compute.vm.resume', { dryRun: true, summary: 'Let a paused guest go on', http: 'POST /v1/vms/:vmId/resume', permission: 'vm.power', on: 'vmId', input: one, reply: TaskRef, errors });
export const resetVm = defineCommand('compute.vm.reset', { dryRun: true, summary: 'Press the reset button: the guest begins anew at once, without being asked', http: 'POST /v1/vms/:vmId/reset', permission: 'vm.power', on: 'vmId', input: one, reply: TaskRef, errors });
export const hibernateVm = defineCommand('compute.vm.hibernate', {
  dryRun: true,
  summary: 'Save the memory of a running VM to a datastore and free its host; starting it wakes it where it was', http: 'POST /v1/vms/:vmId/hibernate', permission: 'vm.power', on: 'vmId',
  input: z.strictObject({ vmId: VmId, datastoreId: DatastoreId.optional().describe('where the memory goes; the first disk’s datastore if absent') }), reply: TaskRef, errors: [...errors, DatastoreFull],
});
