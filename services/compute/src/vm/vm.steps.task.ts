// Steps that several tasks of a VM share: claim a host, raise the epoch, start QEMU there, stop it, and what the VM is
// when its task has ended. Every step may run twice; every undo may meet nothing to undo.
import type { DataSource, EntityManager } from 'typeorm';
import {
  NotFound, NotFoundOnHost, HostUnreachable, claimPlacement, hostVmDelete, hostVmPowerOff, hostVmStart, hostVmStop, placesOfVolumes, releaseClaim, vmChanged, vmDeleted, wiringOfVm, WrongState,
  type Confinement, type HostId, type HostVmStatus, type TaskId, type Vm, type VmId, type VmState,
} from '#contracts';
import { FaultError } from '#kernel';
import { asResult, emit, type Step, type StepContext, type TaskOutcome } from '#tasks';
import type { z } from 'zod';
import { findHost } from '../host/host.store.ts';
import { hostSpecOf } from './host-spec.ts';
import { buryVm, changeVm, findVm, lockVm, type VmChange } from './vm.store.ts';
import { holdsHost, stateFromHost, vcpusOf } from './vm.ts';

export interface VmInput { readonly vmId: string }
export interface Placed { readonly hostId: string }
type Context<I extends VmInput> = StepContext<I>;

/** The VM; a task whose VM is gone cannot go on. */
export async function vmOf(db: DataSource | EntityManager, id: string): Promise<Vm> {
  const record = await findVm(db, id);
  if (!record) throw new FaultError(NotFound.fault('There is no VM with this id.', { noun: 'vm', id }));
  return record.vm;
}

/** Changes the VM in a transaction that only the holder of the task can commit, and tells the world. */
export async function setVm<I extends VmInput>(ctx: Context<I>, change: VmChange): Promise<Vm> {
  return ctx.tx(async (tx) => {
    const record = await lockVm(tx, ctx.input.vmId);
    if (!record) throw new FaultError(NotFound.fault('There is no VM with this id.', { noun: 'vm', id: ctx.input.vmId }));
    const vm = await changeVm(tx, ctx.input.vmId, change);
    await emit(tx, vmChanged, { objectId: vm.id, data: { vm, from: record.vm.status.state }, actor: ctx.task.actor, traceId: ctx.task.traceId, taskId: ctx.task.id });
    return vm;
  });
}

type Confined = z.output<typeof Confinement>;

/** Which hosts the VM's existing disks and NICs leave. */
async function confinementsOf<I extends VmInput>(ctx: Context<I>, vm: Vm, pinned: string | null): Promise<Confined[]> {
  const found: Confined[] = pinned === null ? [] : [{ reason: 'pinned', text: 'the request names another host', hostIds: [pinned as HostId] }];
  if (vm.spec.disks.length > 0) {
    const { places } = await ctx.request(placesOfVolumes, { volumeIds: vm.spec.disks.map((disk) => disk.volumeId) }, { part: 'places' });
    for (const { place, hostIds } of places) found.push({ reason: 'datastore', text: `does not see datastore ${place.datastoreId}`, hostIds });
  }
  const wiring = await ctx.request(wiringOfVm, { vmId: vm.id }, { part: 'wiring' });
  if (wiring.hostIds) found.push({ reason: 'network', text: 'a distributed switch of the VM is not applied there', hostIds: wiring.hostIds });
  return found;
}

export async function claim<I extends VmInput>(ctx: Context<I>, vm: Vm, confinements: readonly Confined[]): Promise<Placed> {
  await setVm(ctx, { claimHeld: true }); // before the claim: a claim that nobody remembers would be held for ever
  const { claim: held } = await ctx.request(claimPlacement, {
    vmId: vm.id, clusterId: vm.clusterId, demand: { vcpus: vcpusOf(vm.spec.cpu), memoryBytes: vm.spec.memoryBytes },
    confinements: [...confinements],
    preferHostId: vm.status.hostId,
  }, { part: 'claim' });
  return { hostId: held.hostId };
}

export async function release<I extends VmInput>(ctx: Context<I>): Promise<void> {
  await ctx.request(releaseClaim, { vmId: ctx.input.vmId as VmId }, { part: 'release' });
  if (await ctx.tx((tx) => findVm(tx, ctx.input.vmId))) await setVm(ctx, { claimHeld: false });
}

/** Chooses the host for a VM whose disks and NICs exist. */
export const placeStep = <I extends VmInput & { hostId?: string | null }>(): Step<I> => ({
  name: 'place',
  run: async (ctx) => {
    const vm = await ctx.tx((tx) => vmOf(tx, ctx.input.vmId));
    return claim(ctx, vm, await confinementsOf(ctx, vm, ctx.input.hostId ?? null));
  },
  undo: release,
});

/** From here on every older command to any host is refused. */
export const raiseEpochStep = <I extends VmInput>(hostOf: (ctx: Context<I>) => string): Step<I> => ({
  name: 'raise-epoch',
  why: 'before anything starts: whoever acts on an older epoch is refused by the host',
  run: async (ctx) => {
    const hostId = hostOf(ctx);
    return ctx.tx(async (tx) => {
      const record = await lockVm(tx, ctx.input.vmId);
      if (!record) throw new FaultError(NotFound.fault('There is no VM with this id.', { noun: 'vm', id: ctx.input.vmId }));
      const { vm } = record;
      const next = await changeVm(tx, vm.id, { epoch: vm.status.epoch + 1, hostId, state: 'starting', reason: null });
      await emit(tx, vmChanged, { objectId: vm.id, data: { vm: next, from: vm.status.state }, actor: ctx.task.actor, traceId: ctx.task.traceId, taskId: ctx.task.id });
      return { epoch: next.status.epoch, hostId };
    });
  },
});

export const startOnHostStep = <I extends VmInput>(): Step<I> => ({
  name: 'start-on-host',
  run: async (ctx) => {
    const { epoch, hostId } = ctx.output<{ epoch: number; hostId: string }>('raise-epoch');
    const vm = await ctx.tx((tx) => vmOf(tx, ctx.input.vmId));
    const places = vm.spec.disks.length === 0 ? [] : (await ctx.request(placesOfVolumes, { volumeIds: vm.spec.disks.map((disk) => disk.volumeId) }, { part: 'places' })).places;
    const wiring = await ctx.request(wiringOfVm, { vmId: vm.id }, { part: 'wiring' });
    return ctx.host(hostId, hostVmStart, { vmId: vm.id, epoch, spec: hostSpecOf(vm, places.map((entry) => entry.place), wiring.nics), paused: false }, { part: 'start' });
  },
  undo: async (ctx) => {
    const { epoch, hostId } = ctx.output<{ epoch: number; hostId: string }>('raise-epoch');
    await powerOff(ctx, hostId, epoch);
    await forget(ctx, hostId, epoch);
  },
});

/** A host that never heard of the VM has nothing to stop. */
export async function powerOff<I extends VmInput>(ctx: Context<I>, hostId: string, epoch: number): Promise<void> {
  const answer = await asResult(ctx.host(hostId, hostVmPowerOff, { vmId: ctx.input.vmId as VmId, epoch }, { part: 'power-off' }));
  if (!answer.ok && answer.fault.code !== NotFoundOnHost.code) throw new FaultError(answer.fault);
}

export async function forget<I extends VmInput>(ctx: Context<I>, hostId: string, epoch: number): Promise<void> {
  const answer = await asResult(ctx.host(hostId, hostVmDelete, { vmId: ctx.input.vmId as VmId, epoch }, { part: 'forget' }));
  if (!answer.ok && answer.fault.code !== NotFoundOnHost.code) throw new FaultError(answer.fault);
}

const isOff = (status: Pick<HostVmStatus, 'state'>): boolean => stateFromHost(status.state) === 'stopped' || status.state === 'failed';

/** Asks the guest and waits; the answer says whether it went down. */
export const askGuestStep = <I extends VmInput & { graceMs: number }>(): Step<I> => ({
  name: 'ask-guest',
  run: async (ctx) => {
    const vm = await ctx.tx((tx) => vmOf(tx, ctx.input.vmId));
    if (vm.status.hostId === null || ctx.input.graceMs === 0) return { off: false };
    const answer = await asResult(ctx.host(vm.status.hostId, hostVmStop, { vmId: vm.id, epoch: vm.status.epoch, graceMs: ctx.input.graceMs }, { part: 'stop' }));
    if (answer.ok) return { off: isOff(answer.value) };
    if (answer.fault.code === NotFoundOnHost.code) return { off: true };
    throw new FaultError(answer.fault);
  },
});

export const powerOffStep = <I extends VmInput & { force: boolean }>(): Step<I> => ({
  name: 'power-off',
  noReturn: true,
  run: async (ctx) => {
    const vm = await ctx.tx((tx) => vmOf(tx, ctx.input.vmId));
    if (vm.status.hostId === null || ctx.output<{ off: boolean } | undefined>('ask-guest')?.off === true) return {};
    if (!ctx.input.force) return WrongState.fail('The guest did not shut down in time, and force was not asked for.', { state: 'running', allowed: ['stopped'] });
    await powerOff(ctx, vm.status.hostId, vm.status.epoch);
    return { forced: true };
  },
});

/** The end of every task of a living VM: it belongs to nobody, and its state is what its host last said. */
export async function settle(tx: EntityManager, outcome: TaskOutcome<VmInput>, to: VmState | 'as-host-says', extra: VmChange = {}): Promise<void> {
  const record = await lockVm(tx, outcome.input.vmId);
  if (!record) return;
  const { vm } = record;
  let state: VmState;
  if (to !== 'as-host-says') {
    state = to;
  } else {
    const host = vm.status.hostId === null ? undefined : await findHost(tx, vm.status.hostId);
    const mayRun = vm.status.epoch > 0 && holdsHost.includes(vm.status.state);
    state = mayRun && host?.state !== 'connected' ? 'unknown' : record.hostState === null ? 'stopped' : stateFromHost(record.hostState);
  }
  const reason = outcome.state === 'needs-attention' ? `task ${outcome.task.id} needs attention: ${outcome.error?.detail ?? ''}` : (extra.reason ?? null);
  // A task that needs attention keeps the VM until somebody lets it go on.
  const taskId = outcome.state === 'needs-attention' ? (outcome.task.id as TaskId) : null;
  const next = await changeVm(tx, vm.id, { ...extra, state, reason, taskId });
  await emit(tx, vmChanged, { objectId: vm.id, data: { vm: next, from: vm.status.state }, actor: outcome.task.actor, traceId: outcome.task.traceId, taskId: outcome.task.id });
}

export async function bury(tx: EntityManager, outcome: TaskOutcome<VmInput>): Promise<void> {
  const record = await lockVm(tx, outcome.input.vmId);
  if (!record) return;
  await buryVm(tx, record.vm.id);
  await emit(tx, vmDeleted, { objectId: record.vm.id, data: { vmId: record.vm.id, name: record.vm.name }, actor: outcome.task.actor, traceId: outcome.task.traceId, taskId: outcome.task.id });
}

/** What a start's status puts on the row at the task's end, so that the list is right before the next report. */
export const ranAs = (status: HostVmStatus | undefined): VmChange => (status ? { pid: status.pid, startedAt: status.startedAt } : {});

/** Nobody answers for the host: what is left there is cleaned when it returns (host.reports). */
export async function forgetIfReachable<I extends VmInput>(ctx: Context<I>, hostId: string, epoch: number, responds: boolean): Promise<void> {
  if (!responds) return;
  const done = await asResult(forget(ctx, hostId, epoch));
  if (!done.ok && done.fault.code !== HostUnreachable.code) throw new FaultError(done.fault);
}
