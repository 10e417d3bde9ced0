// What a VM is when its task has ended, written in the transaction that ends the task.
import { vmChanged, vmDeleted, type HostVmStatus, type VmState } from '#contracts';
import { emit, type TaskOutcome } from '#tasks';
import type { EntityManager } from 'typeorm';
import { stateOfHost } from '../host/host-order.store.ts';
import type { VmInput } from './vm.steps.task.ts';
import { putIntoBin } from './vm-bin.store.ts';
import { buryVm, changeVm, lockVm, type VmChange, type VmRecord } from './vm.store.ts';
import { stateAfterStart, stateAsHostSays } from './vm.ts';

type Outcome = TaskOutcome<VmInput>;
interface RecycledInput extends VmInput { readonly holdMs: number }
const from = ({ task }: Outcome) => ({ actor: task.actor, traceId: task.traceId, taskId: task.id });

async function settle(tx: EntityManager, outcome: Outcome, changeOf: (record: VmRecord) => VmChange | Promise<VmChange>): Promise<void> {
  const record = await lockVm(tx, outcome.input.vmId);
  if (!record) return;
  const next = await changeVm(tx, record.vm.id, { taskId: null, reason: null, ...(await changeOf(record)) });
  await emit(tx, vmChanged, { objectId: next.id, data: { vm: next, from: record.vm.status.state }, ...from(outcome) });
}

/** It runs, unless its host has said meanwhile that this very run is over. */
export const endRunning = (tx: EntityManager, outcome: Outcome): Promise<void> =>
  settle(tx, outcome, ({ hostState, hostReason }) => {
    const state = stateAfterStart(hostState);
    if (state !== 'running') return { state, reason: hostReason };
    const started = outcome.output<HostVmStatus>('start-on-host');
    return { state, ...(started ? { pid: started.pid, startedAt: started.startedAt } : {}) };
  });

/** Nothing of it runs: the task has seen to that. */
export const endOff = (tx: EntityManager, outcome: Outcome): Promise<void> =>
  settle(tx, outcome, () => ({ state: 'stopped' satisfies VmState, reason: outcome.error?.detail ?? null, pid: null, startedAt: null }));

/** The task does not know what came of it; its host may. */
export const endAsHostSays = (tx: EntityManager, outcome: Outcome): Promise<void> =>
  settle(tx, outcome, async ({ vm, hostState }) => {
    const { hostId, epoch } = vm.status;
    const hostResponds = hostId !== null && (await stateOfHost(tx, hostId)) === 'connected';
    return { state: stateAsHostSays({ hostState, hostId, epoch, hostResponds }), reason: outcome.error?.detail ?? null };
  });

/** The VM stays the task's until somebody lets it go on: what it has begun can be neither finished nor undone now. */
export const endStuck = (tx: EntityManager, outcome: Outcome): Promise<void> =>
  settle(tx, outcome, () => ({
    state: 'failed', taskId: outcome.task.id, reason: `task ${outcome.task.id} needs attention: ${outcome.error?.detail ?? ''}`,
  }));

/** Off and in the bin, from where it comes back or goes for good. */
export const endRecycled = (tx: EntityManager, outcome: TaskOutcome<RecycledInput>): Promise<void> =>
  settle(tx, outcome, async ({ vm }) => {
    await putIntoBin(tx, vm.id, outcome.input.holdMs);
    return { state: 'stopped', pid: null, startedAt: null };
  });

/** Nothing is left of it but the tombstone. */
export async function endBuried(tx: EntityManager, outcome: Outcome): Promise<void> {
  const record = await lockVm(tx, outcome.input.vmId);
  if (!record) return;
  const { id, name } = record.vm;
  await buryVm(tx, id);
  await emit(tx, vmDeleted, { objectId: id, data: { vmId: id, name }, ...from(outcome) });
}

type End = (tx: EntityManager, outcome: Outcome) => Promise<void>;

/** One end per outcome; `needs-attention` is the same for all. */
export const endsOf = <I extends VmInput>(ends: { readonly succeeded: (tx: EntityManager, outcome: TaskOutcome<I>) => Promise<void>; readonly failed: End }) => (tx: EntityManager, outcome: TaskOutcome<I>): Promise<void> => {
  if (outcome.state === 'needs-attention') return endStuck(tx, outcome);
  return outcome.state === 'succeeded' ? ends.succeeded(tx, outcome) : ends.failed(tx, outcome);
};
