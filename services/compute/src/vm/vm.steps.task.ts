// Steps that several tasks of a VM share: claim a host, raise the epoch, start QEMU there, stop it. Every step may run twice; every undo may meet nothing to undo.
import type { DataSource, EntityManager } from 'typeorm';
import {
  HostCommandFailed, NotFound, NotFoundOnHost, WrongState, claimPlacement, discardVolume, hostVmDelete, hostVmPowerOff, hostVmStart, hostVmStop, placesOfVolumes,
  releaseClaim, vmChanged, wiringOfVm,
  type Confinement, type HostId, type HostVmStatus, type InputOf, type ReplyOf, type Vm, type VmPending, type VolumeId,
} from '#contracts';
import { FaultError, type Fault } from '#kernel';
import { asResult, emit, passesByItself, type Step, type StepContext } from '#tasks';
import type { z } from 'zod';
import { hostSpecOf } from './host-spec.ts';
import { effectiveSpec } from './pending.ts';
import { ownVolumesOf, specOfStart } from './own-volumes.ts';
import { changeVm, findVm, lockVm, type SavedVm, type VmChange } from './vm.store.ts';
import { stateFromHost, vcpusOf } from './vm.ts';

export interface VmInput { readonly vmId: string }
export interface Placed { readonly hostId: string }
export interface Raised { readonly epoch: number; readonly hostId: string }
type Context<I extends VmInput> = StepContext<I>;

/** The VM; a task whose VM is gone cannot go on. */
export async function vmOf(db: DataSource | EntityManager, id: string): Promise<Vm> {
  const record = await findVm(db, id);
  if (!record) throw new FaultError(NotFound.fault('There is no VM with this id.', { noun: 'vm', id }));
  return record.vm;
}

/** Changes the VM, as it is then, in a transaction that only the holder of the task can commit, and tells the world. */
export async function setVm<I extends VmInput>(ctx: Context<I>, change: VmChange | ((vm: Vm) => VmChange)): Promise<Vm> {
  return ctx.tx(async (tx) => {
    const record = await lockVm(tx, ctx.input.vmId);
    if (!record) throw new FaultError(NotFound.fault('There is no VM with this id.', { noun: 'vm', id: ctx.input.vmId }));
    const vm = await changeVm(tx, ctx.input.vmId, typeof change === 'function' ? change(record.vm) : change);
    await emit(tx, vmChanged, { objectId: vm.id, data: { vm, from: record.vm.status.state }, actor: ctx.task.actor, traceId: ctx.task.traceId, taskId: ctx.task.id });
    return vm;
  });
}

type Confined = z.output<typeof Confinement>;
export interface Confining { readonly confinements: Confined[] }

export const pinnedTo = (hostId: string | null): Confined[] =>
  (hostId === null ? [] : [{ reason: 'pinned', text: 'the request names another host', hostIds: [hostId as HostId] }]);
export const seesDatastore = (datastoreId: string, hostIds: HostId[]): Confined => ({ reason: 'datastore', text: `does not see datastore ${datastoreId}`, hostIds });
export const hasSwitches = (hostIds: HostId[] | null): Confined[] =>
  (hostIds === null ? [] : [{ reason: 'network', text: 'a distributed switch of the VM is not applied there', hostIds }]);

/** Where the VM's disks lie and what its NICs are wired to; asked side by side. */
async function partsOf<I extends VmInput>(ctx: Context<I>, vm: Vm, more: readonly VolumeId[]): Promise<{ places: ReplyOf<typeof placesOfVolumes>['places']; wiring: ReplyOf<typeof wiringOfVm> }> {
  const volumeIds = [...vm.spec.disks.map((disk) => disk.volumeId), ...more];
  const [{ places }, wiring] = await Promise.all([
    volumeIds.length === 0 ? { places: [] } : ctx.request(placesOfVolumes, { volumeIds }, { part: 'places' }),
    ctx.request(wiringOfVm, { vmId: vm.id }, { part: 'wiring' }),
  ]);
  return { places, wiring };
}

/** Which hosts the VM's existing disks and NICs leave, and what else is `planned` for this start. */
export const findHostsStep = <I extends VmInput & { hostId: string | null }>(planned: (ctx: Context<I>) => Promise<Confining>, memoryOf: (input: I) => readonly VolumeId[] = () => []): Step<I> => ({
  name: 'find-hosts',
  foreseeable: true,
  why: 'recorded before the claim: a claim that is asked for again must be the same question',
  run: async (ctx): Promise<Confining> => {
    const vm = await ctx.tx((tx) => vmOf(tx, ctx.input.vmId));
    const memory = memoryOf(ctx.input);
    const { places, wiring } = await partsOf(ctx, vm, [...memory, ...ownVolumesOf(vm, specOfStart(vm, memory.length > 0))]);
    const plan = await planned(ctx);
    return {
      ...plan, confinements: [...plan.confinements, ...pinnedTo(ctx.input.hostId), ...places.map(({ place, hostIds }) => seesDatastore(place.datastoreId, hostIds)), ...hasSwitches(wiring.hostIds)],
    };
  },
});

/** What the VM asks of a host: as large as it will be when it starts. */
export function demandOf(vm: Vm): InputOf<typeof claimPlacement>['demand'] {
  const { cpu, cpuService, memoryBytes, memoryService } = effectiveSpec(vm);
  return { vcpus: vcpusOf(cpu), memoryBytes, cpuReservedMhz: cpuService.reservation, memoryReservedBytes: memoryService.reservation };
}

const sizes = ['cpu', 'memoryBytes', 'cpuService', 'memoryService'] as const satisfies (keyof VmPending)[];

/** For a VM that starts again where it is: what waits for its start may need more there than it holds. */
export const claimAgainStep = <I extends VmInput & { hostId: string }>(): Step<I> => ({
  name: 'claim-again',
  foreseeable: true,
  why: 'after the power is off: until then the VM needs what it holds',
  run: async (ctx) => {
    const { pending } = await ctx.tx((tx) => vmOf(tx, ctx.input.vmId));
    if (pending === null || !sizes.some((field) => pending[field] !== undefined)) return {};
    return claim(ctx, { confinements: [{ reason: 'pinned', text: 'the VM starts again where it was', hostIds: [ctx.input.hostId as HostId] }] });
  },
});

export async function claim<I extends VmInput>(ctx: Context<I>, { confinements }: Confining): Promise<Placed> {
  // Noted before the claim: one that nobody remembers would be held for ever.
  const vm = await setVm(ctx, { claimHeld: true });
  const { claim: held } = await ctx.request(claimPlacement, {
    vmId: vm.id, clusterId: vm.clusterId, demand: demandOf(vm), confinements, preferHostId: vm.status.hostId,
  }, { part: 'claim' });
  return { hostId: held.hostId };
}

/**
 * Takes a claim back. The row goes on saying that one may be held: an answer to the claim that was never heard may still
 * become true, and what is noted is released once more when the task has ended (vm.reconciler).
 */
export async function unclaim<I extends VmInput>(ctx: Context<I>): Promise<void> {
  await ctx.request(releaseClaim, { vmId: ctx.input.vmId }, { part: 'release' });
}

export const placeStep = <I extends VmInput>(): Step<I> => ({ name: 'place', foreseeable: true, run: (ctx) => claim(ctx, ctx.output<Confining>('find-hosts')), undo: unclaim });

/** The end of what holds capacity. A scheduler that is away holds nobody up: what is noted is released later. */
export const releaseStep = <I extends VmInput>(): Step<I> => ({
  name: 'release',
  foreseeable: true,
  why: 'last: capacity is free only when QEMU is gone',
  retryForMs: 10_000,
  run: async (ctx) => {
    await release(ctx);
    return {};
  },
});

export async function release<I extends VmInput>(ctx: Context<I>): Promise<void> {
  const done = await asResult(ctx.request(releaseClaim, { vmId: ctx.input.vmId }, { part: 'release' }));
  if (done.ok) await setVm(ctx, { claimHeld: false });
  else ctx.log.warn({ vmId: ctx.input.vmId, fault: done.fault.code }, 'a claim could not be given back yet');
}

/** From here on every older command to any host is refused. */
export const raiseEpochStep = <I extends VmInput>(hostOf: (ctx: Context<I>) => string): Step<I> => ({
  name: 'raise-epoch',
  why: 'before anything starts: whoever acts on an older epoch is refused by the host',
  run: async (ctx): Promise<Raised> => {
    const hostId = hostOf(ctx);
    const next = await setVm(ctx, ({ status }) => nextRun(status, hostId));
    return { epoch: next.status.epoch, hostId };
  },
});

/** What a VM is that is about to be started there. */
export const nextRun = ({ epoch }: Vm['status'], hostId: string): VmChange => ({ epoch: epoch + 1, hostId, state: 'starting', reason: null });

/** `raisedIn` = the step that has raised the epoch. */
export const startOnHostStep = <I extends VmInput>({ memoryOf = () => null, raisedIn = 'raise-epoch' }: { memoryOf?: (input: I) => SavedVm | null; raisedIn?: string } = {}): Step<I> => ({
  name: 'start-on-host',
  slots: (ctx) => [{ noun: 'host', id: ctx.output<Raised>(raisedIn).hostId, of: 'starts' }],
  run: async (ctx) => {
    const memory = memoryOf(ctx.input);
    const vm = await ctx.tx((tx) => vmOf(tx, ctx.input.vmId));
    const status = await startOnHost(ctx, vm, ctx.output<Raised>(raisedIn), memory);
    await dropTpm(ctx, vm, memory !== null);
    return status;
  },
  // QEMU may run although the answer was lost, so the host is waited for, however long it is away.
  undo: async (ctx) => {
    const { epoch, hostId } = ctx.output<Raised>(raisedIn);
    await waitOut(ctx, hostId, powerOff(ctx, hostId, epoch));
    await waitOut(ctx, hostId, forget(ctx, hostId, epoch));
    await noteTpmGone(ctx);
  },
});

/** The keys of a TPM that was taken away go when the VM runs without it. A datastore that is away keeps no VM from starting: a later start does it. */
async function dropTpm<I extends VmInput>(ctx: Context<I>, vm: Vm, loadsMemory: boolean): Promise<void> {
  if (vm.status.tpm === null || specOfStart(vm, loadsMemory).tpm !== 'none') return;
  const done = await asResult(ctx.child(discardVolume, { volumeId: vm.status.tpm.volumeId, vmId: vm.id }));
  if (done.ok) await setVm(ctx, { tpm: null });
  else ctx.log.warn({ vmId: vm.id, fault: done.fault.code }, 'the keys of a TPM that was taken away could not be deleted yet');
}

/** An undo that comes between the volume's end and the row's knowing of it. */
async function noteTpmGone<I extends VmInput>(ctx: Context<I>): Promise<void> {
  const { spec, pending, status: { tpm } } = await ctx.tx((tx) => vmOf(tx, ctx.input.vmId));
  if (tpm === null || effectiveSpec({ spec, pending }).tpm !== 'none') return;
  const there = await asResult(ctx.request(placesOfVolumes, { volumeIds: [tpm.volumeId] }, { part: 'tpm' }));
  if (!there.ok && there.fault.code === NotFound.code) await setVm(ctx, { tpm: null });
}

/** With a memory the VM is what it was when that was saved: what has waited for a start waits on. The VM is then paused. */
export async function startOnHost<I extends VmInput>(ctx: Context<I>, vm: Vm, { epoch, hostId }: Raised, saved: SavedVm | null): Promise<HostVmStatus> {
  const asked = specOfStart(vm, saved !== null);
  const { places, wiring } = await partsOf(ctx, vm, [...(saved === null ? [] : [saved.volumeId]), ...ownVolumesOf(vm, asked)]);
  const placed = places.map((entry) => entry.place);
  const spec = hostSpecOf({ ...vm, spec: asked }, placed, wiring.nics);
  const place = placed.find(({ volumeId }) => volumeId === saved?.volumeId);
  const memory = saved === null || place === undefined ? null : { place, saved: saved.like };
  return ctx.host(hostId, hostVmStart, { vmId: vm.id, epoch, spec, paused: false, memory }, { part: 'start' });
}

/** Its guest has ended meanwhile, or its host has nothing of it: there is nothing left to change or to take back. */
export const isOver = ({ code }: Fault): boolean => code === WrongState.code || code === NotFoundOnHost.code;

export async function unlessOver(work: Promise<unknown>): Promise<void> {
  const done = await asResult(work);
  if (!done.ok && !isOver(done.fault)) throw new FaultError(done.fault);
}

/** Waits for a silent host without end: nothing else can tell what runs there. */
export async function waitOut<I extends VmInput>(ctx: Context<I>, hostId: string, work: Promise<void>): Promise<void> {
  const done = await asResult(work);
  if (done.ok) return;
  if (passesByItself(done.fault)) return ctx.waitFor({ what: 'the host to respond', holder: hostId, lookAgainMs: 5_000 });
  throw new FaultError(done.fault);
}

export const isOff = (status: Pick<HostVmStatus, 'state'>): boolean => stateFromHost(status.state) === 'stopped' || status.state === 'failed';

/** A host that never heard of the VM has nothing to stop. */
export async function powerOff<I extends VmInput>(ctx: Context<I>, hostId: string, epoch: number): Promise<void> {
  const answer = await asResult(ctx.host(hostId, hostVmPowerOff, { vmId: ctx.input.vmId, epoch }, { part: 'power-off' }));
  if (!answer.ok) {
    if (answer.fault.code === NotFoundOnHost.code) return;
    throw new FaultError(answer.fault);
  }
  if (isOff(answer.value)) return;
  throw new FaultError(HostCommandFailed.fault(`The host says that the VM is still ${answer.value.state}.`, { reason: answer.value.state }));
}

export async function forget<I extends VmInput>(ctx: Context<I>, hostId: string, epoch: number): Promise<void> {
  const answer = await asResult(ctx.host(hostId, hostVmDelete, { vmId: ctx.input.vmId, epoch }, { part: 'forget' }));
  if (!answer.ok && answer.fault.code !== NotFoundOnHost.code) throw new FaultError(answer.fault);
}

/** How long each link of the chain is waited for, ms; left out = its part of `graceMs`. */
export interface StopWaits { readonly graceMs: number; readonly agentWaitMs?: number | undefined; readonly acpiWaitMs?: number | undefined; readonly force: boolean }
interface Asked { readonly off: boolean; readonly answered: boolean }
const notAsked: Asked = { off: false, answered: false };

/** The chain that a stop goes down, a step for each wait: the guest agent, the power button, and behind them the power. */
export const askAgentStep = <I extends VmInput & StopWaits>(): Step<I> => ({
  name: 'ask-guest-agent',
  foreseeable: true,
  run: (ctx) => ask(ctx, 'agent', ctx.input.agentWaitMs ?? ctx.input.graceMs / 2),
});
export const pressButtonStep = <I extends VmInput & StopWaits>(): Step<I> => ({
  name: 'press-power-button',
  run: (ctx) => {
    const agent = ctx.output<Asked>('ask-guest-agent');
    const rest = agent.answered ? ctx.input.graceMs / 2 : ctx.input.graceMs;
    return agent.off ? Promise.resolve(agent) : ask(ctx, 'acpi', ctx.input.acpiWaitMs ?? rest);
  },
});

async function ask<I extends VmInput & StopWaits>(ctx: Context<I>, by: 'agent' | 'acpi', waitMs: number): Promise<Asked> {
  const vm = await ctx.tx((tx) => vmOf(tx, ctx.input.vmId));
  const { hostId, epoch } = vm.status;
  if (hostId === null) return { off: true, answered: false };
  if (waitMs === 0) return notAsked;
  const graceMs = Math.round(waitMs);
  const waitsFor = `the guest to shut down, asked by ${by === 'agent' ? 'its agent' : 'the power button'}, for ${graceMs / 1000} s at most`;
  const answer = await asResult(ctx.host(hostId, hostVmStop, { vmId: vm.id, epoch, graceMs, by }, { part: by, waitsFor }));
  if (answer.ok) return { off: isOff(answer.value), answered: answer.value.guestAgent };
  if (answer.fault.code === NotFoundOnHost.code) return { off: true, answered: false };
  throw new FaultError(answer.fault);
}

/** Not a point of no return: a host that falls silent here fails the task, and the VM is then what its host says. */
export const powerOffStep = <I extends VmInput & StopWaits>(): Step<I> => ({
  name: 'power-off',
  run: async (ctx) => {
    const vm = await ctx.tx((tx) => vmOf(tx, ctx.input.vmId));
    if (vm.status.hostId === null || ctx.output<Asked>('press-power-button').off) return { forced: false };
    if (!ctx.input.force) return WrongState.fail('The guest did not shut down in time, and force was not asked for.', { state: 'running', allowed: ['stopped'] });
    await powerOff(ctx, vm.status.hostId, vm.status.epoch);
    return { forced: true };
  },
});
