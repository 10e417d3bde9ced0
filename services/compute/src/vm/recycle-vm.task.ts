// Puts a VM into the recycle bin: off, its capacity given back, disks that shall stay set free. Its other disks, its ports
// and its directory on the host stay with it until it is restored or purged.
import { keepVolume } from '#contracts';
import { defineTask, type Step, type TaskKind } from '#tasks';
import { endAsHostSays, endRecycled, endsOf } from './vm-end.task.ts';
import type { KeptDisk } from './vm-bin.ts';
import { powerOff, releaseStep, setVm, vmOf, type VmInput } from './vm.steps.task.ts';

export interface RecycleVmInput extends VmInput { readonly running: boolean; readonly keep: readonly KeptDisk[]; readonly holdMs: number }

export const powerOffIfRunningStep = <I extends VmInput & { readonly running: boolean }>(): Step<I> => ({
  name: 'power-off',
  foreseeable: true,
  run: async (ctx) => {
    const { hostId, epoch } = (await ctx.tx((tx) => vmOf(tx, ctx.input.vmId))).status;
    if (ctx.input.running && hostId !== null) await powerOff(ctx, hostId, epoch);
    return {};
  },
});

export const keepDisksStep = <I extends VmInput & { readonly keep: readonly KeptDisk[] }>(): Step<I> => ({
  name: 'keep-disks',
  foreseeable: true,
  why: 'a volume that was set free may be somebody else’s at once: from here the task only goes forward',
  noReturn: true,
  run: async (ctx) => {
    const { keep, vmId } = ctx.input;
    for (const [index, { volumeId, name }] of keep.entries()) await ctx.request(keepVolume, { volumeId: volumeId, vmId: vmId, name }, { part: `disk-${index}` });
    if (keep.length === 0) return {};
    await setVm(ctx, ({ spec }) => ({ spec: { ...spec, disks: spec.disks.filter((disk) => !keep.some(({ volumeId }) => volumeId === disk.volumeId)) } }));
    return {};
  },
});

export const recycleVmTask: TaskKind<RecycleVmInput> = defineTask<RecycleVmInput>({
  kind: 'compute.vm.recycle',
  object: 'vm',
  steps: [powerOffIfRunningStep<RecycleVmInput>(), releaseStep<RecycleVmInput>(), keepDisksStep<RecycleVmInput>()],
  onFinished: endsOf({ succeeded: endRecycled, failed: endAsHostSays }),
});
