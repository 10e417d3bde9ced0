// What a VM is when its task has ended, written in the transaction that ends the task.
import { vmChanged, vmDeleted, type HostVmStatus, type Vm, type VmState } from '#contracts';
import { emit, type TaskOutcome } from '#tasks';
import type { EntityManager } from 'typeorm';
import { stateOfHost } from '../host/host-order.store.ts';
import { effectiveSpec } from './pending.ts';
import type { VmInput } from './vm.steps.task.ts';
import { putIntoBin } from './vm-bin.store.ts';
import { buryVm, changeVm, lockVm, type SavedVm, type VmChange, type VmRecord } from './vm.store.ts';
import { stateAfterStart, stateAsHostSays, stateFromHost } from './vm.ts';

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
  settle(tx, outcome, ({ vm, hostState, hostReason }) => {
    const state = stateAfterStart(hostState);
    // What had waited for a start is in force now.
    const hardware = vm.pending === null ? {} : { spec: effectiveSpec(vm), pending: null };
    if (state !== 'running') return { state, reason: hostReason, ...hardware };
    const started = outcome.output<HostVmStatus>('start-on-host');
    return { state, ...hardware, ...(started ? { pid: started.pid, startedAt: started.startedAt } : {}) };
  });

/** It goes on where it was, and its saved memory is gone; one that began anew has taken what waited for a start. */
export async function endWoken(tx: EntityManager, outcome: Outcome): Promise<void> {
  const { discardMemory } = outcome.input as VmInput & { readonly discardMemory: boolean };
  const record = await lockVm(tx, outcome.input.vmId);
  if (record) await changeVm(tx, record.vm.id, { saved: null });
  await (discardMemory ? endRunning(tx, outcome) : endAsAnswered('go-on')(tx, outcome));
}

/** It has been told to be so, and its host has said so; unless it has ended meanwhile. */
export const endAsAnswered = (step: string) => (tx: EntityManager, outcome: Outcome): Promise<void> =>
  settle(tx, outcome, ({ hostState, hostReason }) => {
    const ended = hostState === 'stopped' || hostState === 'failed';
    const answered = outcome.output<HostVmStatus>(step);
    if (ended || !answered) return { state: stateFromHost(hostState ?? 'unknown'), reason: hostReason };
    return { state: stateFromHost(answered.state), pid: answered.pid, startedAt: answered.startedAt };
  });

/** Its memory lies on a datastore, and no host has anything of it. */
export const endHibernated = (savedOf: (outcome: Outcome) => SavedVm | null) => (tx: EntityManager, outcome: Outcome): Promise<void> =>
  settle(tx, outcome, () => {
    const saved = savedOf(outcome);
    return { state: 'hibernated' satisfies VmState, hostId: null, pid: null, startedAt: null, reason: outcome.error?.detail ?? null, ...(saved === null ? {} : { saved }) };
  });

/** Nothing of it runs: the task has seen to that. */
export const endOff = (tx: EntityManager, outcome: Outcome): Promise<void> =>
  settle(tx, outcome, () => ({ state: 'stopped' satisfies VmState, reason: outcome.error?.detail ?? null, pid: null, startedAt: null }));

/** A change of hardware neither starts nor stops a VM: it is what it was, and one that ran is what its host says. */
export const endUntouched = (tx: EntityManager, outcome: Outcome): Promise<void> =>
  settle(tx, outcome, async ({ vm, hostState, hostReason }) => {
    const { before } = outcome.input as VmInput & { readonly before: VmState };
    if (before !== 'running') return { state: before, reason: vm.status.reason?.startsWith(stuckAt(outcome)) ? null : vm.status.reason };
    return { state: await saidState(tx, vm, hostState), reason: hostReason };
  });

/** The task does not know what came of it; its host may. */
export const endAsHostSays = (tx: EntityManager, outcome: Outcome): Promise<void> =>
  settle(tx, outcome, async ({ vm, hostState, saved }) => ({
    state: saved !== null && vm.status.hostId === null ? 'hibernated' : await saidState(tx, vm, hostState), reason: outcome.error?.detail ?? null,
  }));

async function saidState(tx: EntityManager, { status: { hostId, epoch } }: Vm, hostState: VmRecord['hostState']): Promise<VmState> {
  const hostResponds = hostId !== null && (await stateOfHost(tx, hostId)) === 'connected';
  return stateAsHostSays({ hostState, hostId, epoch, hostResponds });
}

/** How the reason of a VM begins whose task is stuck; a retry of the task that gets through takes it away again. */
const stuckAt = ({ task }: Outcome): string => `task ${task.id} needs attention: `;

/** The VM stays the task's until somebody lets it go on: what it has begun can be neither finished nor undone now. */
export const endStuck = (tx: EntityManager, outcome: Outcome): Promise<void> =>
  settle(tx, outcome, () => ({
    state: 'failed', taskId: outcome.task.id, reason: `${stuckAt(outcome)}${outcome.error?.detail ?? ''}`,
  }));

/** Off and in the bin, from where it comes back or goes for good. */
export const endRecycled = (tx: EntityManager, outcome: TaskOutcome<RecycledInput>): Promise<void> =>
  settle(tx, outcome, async ({ vm, saved }) => {
    await putIntoBin(tx, vm.id, outcome.input.holdMs);
    return { state: saved === null ? 'stopped' : 'hibernated', pid: null, startedAt: null };
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
