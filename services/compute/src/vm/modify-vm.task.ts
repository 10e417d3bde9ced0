// Changes a VM's sizes and settings as they were decided when the task was accepted: what is in force, and what waits.
import type { Vm, VmId } from '#contracts';
import { defineTask, type TaskKind } from '#tasks';
import type { PlugInput } from './plug.steps.task.ts';
import { endUntouched, endsOf } from './vm-end.task.ts';
import { setVm } from './vm.steps.task.ts';

type Hardware = Pick<Vm, 'spec' | 'pending'>;
export interface ModifyVmInput extends PlugInput { readonly vmId: VmId; readonly was: Hardware; readonly next: Hardware }

export const modifyVmTask: TaskKind<ModifyVmInput> = defineTask<ModifyVmInput>({
  kind: 'compute.vm.modify',
  object: 'vm',
  steps: [
    // A step that tells a running VM's host, for fields that pending.ts calls `host`, stands before this one.
    {
      name: 'record',
      run: async (ctx) => {
        await setVm(ctx, ctx.input.next);
        return { pending: Object.keys(ctx.input.next.pending ?? {}) };
      },
      undo: (ctx) => setVm(ctx, ctx.input.was),
    },
  ],
  onFinished: endsOf({ succeeded: endUntouched, failed: endUntouched }),
});
