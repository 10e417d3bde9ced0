// Pause, resume and reset of a VM that runs: one command to its host. A pause or a resume that is cancelled is taken back; a
// reset cannot be, and leaves the VM as its host says.
import { WrongState, hostVmPause, hostVmReset, hostVmResume, type HostId, type HostVmStatus, type VmId } from '#contracts';
import { FaultError } from '#kernel';
import { defineTask, type StepContext, type TaskKind } from '#tasks';
import { endAsAnswered, endAsHostSays, endsOf } from './vm-end.task.ts';
import { isOff, unlessOver, waitOut, type VmInput } from './vm.steps.task.ts';

/** The run that is meant: a later one is refused by its epoch. */
export interface SteerInput extends VmInput { readonly vmId: VmId; readonly hostId: HostId; readonly epoch: number }
type Context = StepContext<SteerInput>;

/** The three have one form. */
const telling = (operation: typeof hostVmPause) =>
  (ctx: Context): Promise<HostVmStatus> => ctx.host(ctx.input.hostId, operation, { vmId: ctx.input.vmId, epoch: ctx.input.epoch });
const takingBack = (tell: (ctx: Context) => Promise<HostVmStatus>) =>
  (ctx: Context): Promise<void> => waitOut(ctx, ctx.input.hostId, unlessOver(tell(ctx)));

const step = 'tell-host';
const onFinished = endsOf({ succeeded: endAsAnswered(step), failed: endAsHostSays });
const [pause, resume, reset] = [telling(hostVmPause), telling(hostVmResume), telling(hostVmReset)];

/** A guest may go on and end before the host has answered. */
async function goOn(ctx: Context): Promise<HostVmStatus> {
  const status = await resume(ctx);
  if (isOff(status)) throw new FaultError(WrongState.fault('The guest has ended.', { state: status.state, allowed: ['running', 'paused'] }));
  return status;
}

export const pauseVmTask: TaskKind<SteerInput> = defineTask<SteerInput>({ kind: 'compute.vm.pause', object: 'vm', steps: [{ name: step, run: pause, undo: takingBack(resume) }], onFinished });
export const resumeVmTask: TaskKind<SteerInput> = defineTask<SteerInput>({ kind: 'compute.vm.resume', object: 'vm', steps: [{ name: step, run: goOn, undo: takingBack(pause) }], onFinished });
export const resetVmTask: TaskKind<SteerInput> = defineTask<SteerInput>({ kind: 'compute.vm.reset', object: 'vm', steps: [{ name: step, run: reset }], onFinished });
