// Deletes a VM with everything that is its own: QEMU and directory on the host, disks, ports and addresses, claim. The
// row stays as a tombstone. From the first disk on there is no way back.
import { HostUnreachable, discardPorts, discardVolume, type VmId, type VolumeId } from '#contracts';
import { FaultError } from '#kernel';
import { asResult, defineTask, type TaskKind } from '#tasks';
import { stateOfHost } from '../host/host-order.store.ts';
import { endAsHostSays, endBuried, endsOf } from './vm-end.task.ts';
import { keepDisksStep, powerOffIfRunningStep } from './recycle-vm.task.ts';
import type { KeptDisk } from './vm-bin.ts';
import { forget, releaseStep, vmOf, type VmInput } from './vm.steps.task.ts';

export interface DeleteVmInput extends VmInput { volumeIds: readonly string[]; running: boolean; keep: readonly KeptDisk[] }

export const deleteVmTask: TaskKind<DeleteVmInput> = defineTask<DeleteVmInput>({
  kind: 'compute.vm.delete',
  object: 'vm',
  steps: [
    powerOffIfRunningStep<DeleteVmInput>(),
    {
      name: 'forget-on-host',
      why: 'a stopped VM leaves only its directory: a host that is away is cleaned when it returns (host.reports)',
      retryForMs: 30_000,
      run: async (ctx) => {
        const { status, state } = await ctx.tx(async (tx) => {
          const vm = await vmOf(tx, ctx.input.vmId);
          return { status: vm.status, state: vm.status.hostId === null ? undefined : await stateOfHost(tx, vm.status.hostId) };
        });
        if (status.hostId === null || state !== 'connected') return {};
        const done = await asResult(forget(ctx, status.hostId, status.epoch));
        if (!done.ok && done.fault.code !== HostUnreachable.code) throw new FaultError(done.fault);
        return {};
      },
    },
    keepDisksStep<DeleteVmInput>(),
    {
      name: 'discard-disks',
      foreseeable: true,
      noReturn: true,
      run: (ctx) => ctx.children(ctx.input.volumeIds.map((volumeId, index) => (
        { operation: discardVolume, part: `disk-${index}`, input: { volumeId: volumeId as VolumeId, vmId: ctx.input.vmId as VmId } }
      ))),
    },
    { name: 'discard-ports', foreseeable: true, run: (ctx) => ctx.request(discardPorts, { vmId: ctx.input.vmId }) },
    releaseStep<DeleteVmInput>(),
  ],
  onFinished: endsOf({ succeeded: endBuried, failed: endAsHostSays }),
});
