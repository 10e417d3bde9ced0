// Start, stop, power-off and reboot of a VM that exists. Power that was cut cannot be given back, so a stop that is
// cancelled or fails leaves the VM as its host says; a start leaves nothing running.
import { defineTask, type TaskKind, type TaskOutcome } from '#tasks';
import type { EntityManager } from 'typeorm';
import { endAsHostSays, endOff, endRunning, endsOf } from './vm-end.task.ts';
import {
  askAgentStep, claimAgainStep, findHostsStep, placeStep, powerOffStep, pressButtonStep, raiseEpochStep, releaseStep, startOnHostStep, type Placed, type StopWaits, type VmInput,
} from './vm.steps.task.ts';
import { makeOwnStep, planOwn, planOwnStep } from './own-volumes.steps.task.ts';

export interface StartInput extends VmInput { hostId: string | null }
export interface StopInput extends VmInput, StopWaits {}
export interface RebootInput extends StopInput { hostId: string }

export const startVmTask: TaskKind<StartInput> = defineTask<StartInput>({
  kind: 'compute.vm.start',
  object: 'vm',
  steps: [
    findHostsStep<StartInput>((ctx) => planOwn(ctx, { hostId: ctx.input.hostId })),
    placeStep<StartInput>(),
    makeOwnStep<StartInput>('find-hosts', (ctx) => ctx.output<Placed>('place').hostId),
    raiseEpochStep<StartInput>((ctx) => ctx.output<Placed>('place').hostId),
    startOnHostStep<StartInput>(),
  ],
  onFinished: endsOf({ succeeded: endRunning, failed: endOff }),
});

/** Once the power is off it stays off, whatever came after. */
const endStopped = (tx: EntityManager, outcome: TaskOutcome<VmInput>): Promise<void> =>
  (outcome.output('power-off') === undefined ? endAsHostSays(tx, outcome) : endOff(tx, outcome));

export const stopVmTask: TaskKind<StopInput> = defineTask<StopInput>({
  kind: 'compute.vm.stop',
  object: 'vm',
  steps: [askAgentStep<StopInput>(), pressButtonStep<StopInput>(), powerOffStep<StopInput>(), releaseStep<StopInput>()],
  onFinished: endsOf({ succeeded: endOff, failed: endStopped }),
});

export const powerOffVmTask: TaskKind<StopInput> = defineTask<StopInput>({ ...stopVmTask, kind: 'compute.vm.power-off' });

export const rebootVmTask: TaskKind<RebootInput> = defineTask<RebootInput>({
  kind: 'compute.vm.reboot',
  object: 'vm',
  steps: [
    planOwnStep<RebootInput>((ctx) => ctx.input.hostId),
    askAgentStep<RebootInput>(),
    pressButtonStep<RebootInput>(),
    powerOffStep<RebootInput>(),
    claimAgainStep<RebootInput>(),
    makeOwnStep<RebootInput>('plan-own-volumes', (ctx) => ctx.input.hostId),
    raiseEpochStep<RebootInput>((ctx) => ctx.input.hostId),
    startOnHostStep<RebootInput>(),
  ],
  onFinished: endsOf({ succeeded: endRunning, failed: endStopped }),
});
