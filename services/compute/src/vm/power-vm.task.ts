// Start, stop, power-off and reboot of a VM that exists.
import type { HostVmStatus } from '#contracts';
import { defineTask, type TaskKind, type TaskOutcome } from '#tasks';
import type { EntityManager } from 'typeorm';
import { askGuestStep, placeStep, powerOffStep, raiseEpochStep, ranAs, release, settle, startOnHostStep, type Placed, type VmInput } from './vm.steps.task.ts';

export interface StartInput extends VmInput { hostId: string | null }
export interface StopInput extends VmInput { graceMs: number; force: boolean }
export interface RebootInput extends StopInput { hostId: string }

const settleStart = (tx: EntityManager, outcome: TaskOutcome<VmInput>): Promise<void> => {
  if (outcome.state === 'succeeded') return settle(tx, outcome, 'running', ranAs(outcome.output<HostVmStatus>('start-on-host')));
  return settle(tx, outcome, outcome.state === 'needs-attention' ? 'failed' : 'stopped', { reason: outcome.error?.detail ?? null, pid: null });
};
const settleStop = (tx: EntityManager, outcome: TaskOutcome<VmInput>): Promise<void> =>
  outcome.state === 'succeeded' ? settle(tx, outcome, 'stopped', { pid: null, startedAt: null }) : settle(tx, outcome, 'as-host-says');

export const startVmTask: TaskKind<StartInput> = defineTask<StartInput>({
  kind: 'compute.vm.start',
  object: 'vm',
  steps: [placeStep<StartInput>(), raiseEpochStep<StartInput>((ctx) => ctx.output<Placed>('place').hostId), startOnHostStep<StartInput>()],
  onFinished: settleStart,
});

const releaseStep = { name: 'release', why: 'last: capacity is free only when QEMU is gone', run: release<StopInput> };

export const stopVmTask: TaskKind<StopInput> = defineTask<StopInput>({
  kind: 'compute.vm.stop',
  object: 'vm',
  steps: [askGuestStep<StopInput>(), powerOffStep<StopInput>(), releaseStep],
  onFinished: settleStop,
});

export const powerOffVmTask: TaskKind<StopInput> = defineTask<StopInput>({
  kind: 'compute.vm.power-off',
  object: 'vm',
  steps: [askGuestStep<StopInput>(), powerOffStep<StopInput>(), releaseStep],
  onFinished: settleStop,
});

export const rebootVmTask: TaskKind<RebootInput> = defineTask<RebootInput>({
  kind: 'compute.vm.reboot',
  object: 'vm',
  steps: [askGuestStep<RebootInput>(), powerOffStep<RebootInput>(), raiseEpochStep<RebootInput>((ctx) => ctx.input.hostId), startOnHostStep<RebootInput>()],
  onFinished: (tx, outcome) => (outcome.state === 'succeeded' ? settleStart(tx, outcome) : settle(tx, outcome, 'as-host-says', { reason: outcome.error?.detail ?? null })),
});
