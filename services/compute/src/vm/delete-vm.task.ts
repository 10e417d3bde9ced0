// Deletes a VM with everything that is its own: QEMU and directory on the host, disks, ports and addresses, claim. The
// row stays as a tombstone. Past the first disk there is no way back.
import { discardPorts, discardVolume, type VmId, type VolumeId } from '#contracts';
import { defineTask, type TaskKind } from '#tasks';
import { findHost } from '../host/host.store.ts';
import { bury, forgetIfReachable, powerOff, release, settle, vmOf, type VmInput } from './vm.steps.task.ts';

export interface DeleteVmInput extends VmInput { volumeIds: readonly string[]; running: boolean }

export const deleteVmTask: TaskKind<DeleteVmInput> = defineTask<DeleteVmInput>({
  kind: 'compute.vm.delete',
  object: 'vm',
  steps: [
    {
      name: 'power-off',
      run: async (ctx) => {
        const vm = await ctx.tx((tx) => vmOf(tx, ctx.input.vmId));
        if (ctx.input.running && vm.status.hostId !== null) await powerOff(ctx, vm.status.hostId, vm.status.epoch);
        return {};
      },
    },
    {
      name: 'forget-on-host',
      run: async (ctx) => {
        const { vm, responds } = await ctx.tx(async (tx) => {
          const found = await vmOf(tx, ctx.input.vmId);
          const host = found.status.hostId === null ? undefined : await findHost(tx, found.status.hostId);
          return { vm: found, responds: host?.state === 'connected' };
        });
        if (vm.status.hostId !== null) await forgetIfReachable(ctx, vm.status.hostId, vm.status.epoch, responds);
        return {};
      },
    },
    {
      name: 'discard-disks',
      noReturn: true,
      run: (ctx) => ctx.children(ctx.input.volumeIds.map((volumeId, index) => ({ operation: discardVolume, part: `disk-${index}`, input: { volumeId: volumeId as VolumeId, vmId: ctx.input.vmId as VmId } }))),
    },
    { name: 'discard-ports', run: (ctx) => ctx.request(discardPorts, { vmId: ctx.input.vmId as VmId }) },
    { name: 'release', run: release },
  ],
  onFinished: (tx, outcome) => {
    if (outcome.state === 'succeeded') return bury(tx, outcome);
    return settle(tx, outcome, outcome.state === 'needs-attention' ? 'failed' : 'as-host-says');
  },
});
