// How VMs stand, in few words: what other owners compare their rows with.
import { z } from 'zod';
import { defineQuery } from '../define.ts';
import { HostId, TaskId, VmId } from '../ids.ts';
import { Demand } from '../scheduler/placement.ts';
import { VmState } from './vm.ts';

export const StandingVm = z.strictObject({
  vmId: VmId, name: z.string(), hostId: HostId.nullable(), state: VmState, taskId: TaskId.nullable(), claimHeld: z.boolean().describe('compute believes that capacity is held for it'),
  demand: Demand, version: z.int(),
});
export type StandingVm = z.infer<typeof StandingVm>;
export const standingVms = defineQuery('compute.vm.standing', {
  summary: 'How VMs stand: those that are named, as far as they are there, or all that are on a host, page by page', permission: 'internal',
  input: z.strictObject({ vmIds: z.array(VmId).max(1000).optional(), after: VmId.optional().describe('go on behind this one'), limit: z.int().min(1).max(1000).default(1000) }),
  reply: z.strictObject({ vms: z.array(StandingVm) }),
});
