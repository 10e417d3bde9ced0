// Changes a VM's sizes and settings as they were decided when the task was accepted: what is in force, and what waits. What
// a running VM takes at once its host takes first. The scheduler holds the larger reservation for as long as both may be in
// force, so neither the way there nor the way back can be refused in the middle.
import { NotFound, resizeClaim, type HostVmChange, type Vm, type VmId, type VmSpec } from '#contracts';
import { FaultError, canonicalJson } from '#kernel';
import { asResult, defineTask, type StepContext, type TaskKind } from '#tasks';
import { adjust, adjustBack, retryHostForMs, type PlugInput } from './plug.steps.task.ts';
import { endUntouched, endsOf } from './vm-end.task.ts';
import { setVm } from './vm.steps.task.ts';

type Hardware = Pick<Vm, 'spec' | 'pending'>;
export interface ModifyVmInput extends PlugInput { readonly vmId: VmId; readonly was: Hardware; readonly next: Hardware }
type Context = StepContext<ModifyVmInput>;
/** What waits now; also the task's own output. */
interface Recorded { readonly pending: readonly string[] }

const limitsOf = ({ cpuService, memoryService }: VmSpec): HostVmChange => ({ kind: 'limits', cpuService, memoryService });
/** Whether there is something that the VM's host and the scheduler have to know of. */
const isLimited = ({ input: { running, was, next } }: Context): boolean => running !== null && canonicalJson(limitsOf(was.spec)) !== canonicalJson(limitsOf(next.spec));

/** A VM without a claim holds nothing that could be changed; its next start claims what it needs then. */
async function reserve(ctx: Context, specs: readonly VmSpec[], part: string): Promise<void> {
  const most = (of: (spec: VmSpec) => number): number => Math.max(...specs.map(of));
  const done = await asResult(ctx.request(resizeClaim, {
    vmId: ctx.input.vmId, cpuReservedMhz: most((spec) => spec.cpuService.reservation), memoryReservedBytes: most((spec) => spec.memoryService.reservation),
  }, { part }));
  if (!done.ok && done.fault.code !== NotFound.code) throw new FaultError(done.fault);
}

export const modifyVmTask: TaskKind<ModifyVmInput> = defineTask<ModifyVmInput>({
  kind: 'compute.vm.modify',
  object: 'vm',
  steps: [
    {
      name: 'reserve',
      why: 'the larger of both: giving some back is never refused, and taking it again might be',
      run: async (ctx) => {
        if (isLimited(ctx)) await reserve(ctx, [ctx.input.was.spec, ctx.input.next.spec], 'reserve');
        return {};
      },
      undo: async (ctx) => { if (isLimited(ctx)) await reserve(ctx, [ctx.input.was.spec], 'back'); },
    },
    {
      name: 'adjust-host',
      retryForMs: retryHostForMs,
      run: async (ctx) => {
        if (isLimited(ctx)) await adjust(ctx, limitsOf(ctx.input.next.spec), 'limits');
        return {};
      },
      undo: async (ctx) => { if (isLimited(ctx)) await adjustBack(ctx, limitsOf(ctx.input.was.spec)); },
    },
    {
      name: 'record',
      run: async (ctx): Promise<Recorded> => {
        await setVm(ctx, ctx.input.next);
        return { pending: Object.keys(ctx.input.next.pending ?? {}) };
      },
      undo: (ctx) => setVm(ctx, ctx.input.was),
    },
    {
      name: 'give-back',
      why: 'what is reserved no longer; a scheduler that is away holds nobody up, the next start claims anew',
      retryForMs: 10_000,
      run: async (ctx) => {
        const done = isLimited(ctx) ? await asResult(reserve(ctx, [ctx.input.next.spec], 'give-back')) : null;
        if (done?.ok === false) ctx.log.warn({ vmId: ctx.input.vmId, fault: done.fault.code }, 'a reservation could not be given back yet');
        return ctx.output<Recorded>('record');
      },
    },
  ],
  onFinished: endsOf({ succeeded: endUntouched, failed: endUntouched }),
});
