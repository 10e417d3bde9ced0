// The volumes that a VM has beside its disks, in the tasks that start it: the first start that needs one makes it. From then on it
// stays with the VM through stops, hosts and the recycle bin; that of a TPM goes with a start without one (`dropTpm`).
import { NoCapacity, chooseDatastore, discardVolume, provisionVolume, type DatastoreId, type FolderId, type HostId, type UserId, type VmId, type VolumeId } from '#contracts';
import { FaultError, newUuid } from '#kernel';
import type { Step, StepContext } from '#tasks';
import { findHost, hostsWithTpm } from '../host/host.store.ts';
import { ownKinds, ownVolumes, specOfStart, type OwnKind } from './own-volumes.ts';
import { seesDatastore, setVm, vmOf, type Confining, type VmInput } from './vm.steps.task.ts';
import { volumeName } from './vm.ts';

type Context<I extends VmInput> = StepContext<I>;
type Confined = Confining['confinements'][number];
interface PlannedVolume { readonly volumeId: VolumeId; readonly datastoreId: DatastoreId }
/** The volumes that this task makes; null or left out = the VM has it, or needs none. */
export type OwnPlan = Readonly<Partial<Record<OwnKind, PlannedVolume | null>>> & { readonly confinements: Confined[] };

const hasSwtpm = (hostIds: HostId[]): Confined => ({ reason: 'hardware', text: 'cannot give a VM a TPM: swtpm is not installed there', hostIds });

interface Wish {
  readonly hostId: string | null;
  readonly loadsMemory?: boolean;
  /** The first disk's, where the spec has none yet. */
  readonly beside?: { readonly datastoreId: DatastoreId; readonly hostIds: HostId[] } | undefined;
}

/** Where the volumes will lie, with their ids: beside the first disk, so that the VM goes wherever that can. */
export async function planOwn<I extends VmInput>(ctx: Context<I>, { hostId, loadsMemory = false, beside }: Wish): Promise<OwnPlan> {
  const vm = await ctx.tx((tx) => vmOf(tx, ctx.input.vmId));
  const spec = specOfStart(vm, loadsMemory);
  const confinements = spec.tpm === 'none' ? [] : [hasSwtpm(await ctx.tx((tx) => hostsWithTpm(tx, vm.clusterId)))];
  const missing = ownKinds.filter((kind) => ownVolumes[kind].isNeeded(spec) && vm.status[kind] === null);
  if (missing.length === 0) return { confinements };
  const first = spec.disks[0]?.datastoreId;
  const sizeBytes = missing.reduce((sum, kind) => sum + ownVolumes[kind].sizeBytes, 0);
  const store = beside ?? (await ctx.request(chooseDatastore, { sizeBytes, hostId, sharedFirst: true, ...(first === undefined ? {} : { datastoreId: first }) }, { part: 'own-volumes' }));
  const planned = Object.fromEntries(missing.map((kind) => [kind, { volumeId: newUuid() as VolumeId, datastoreId: store.datastoreId }]));
  return { ...planned, confinements: [...confinements, seesDatastore(store.datastoreId, store.hostIds)] };
}

const plannedIn = (plan: OwnPlan): { kind: OwnKind; planned: PlannedVolume }[] => ownKinds.flatMap((kind) => (plan[kind] ? [{ kind, planned: plan[kind] }] : []));

/** What the row of a VM says of them. */
export const ownChange = (plan: OwnPlan): Partial<Record<OwnKind, PlannedVolume>> => Object.fromEntries(plannedIn(plan).map(({ kind, planned }) => [kind, planned]));

/** The children that make the planned volumes. */
export const ownProvisions = ({ vmId, name, ownerId, folderId }: { vmId: VmId; name: string; ownerId: UserId | null; folderId: FolderId | null }, plan: OwnPlan, hostId: HostId | null) =>
  plannedIn(plan).map(({ kind, planned }) => ({
    operation: provisionVolume, part: ownVolumes[kind].part,
    input: { ...planned, name: volumeName(name, ownVolumes[kind].title), sizeBytes: ownVolumes[kind].sizeBytes, source: null, format: 'raw' as const, vmId, hostId, ownerId, folderId },
  }));

/** The children that take them back. */
export const ownDiscards = (vmId: VmId, plan: OwnPlan) => plannedIn(plan).map(({ kind, planned: { volumeId } }) => ({ operation: discardVolume, part: ownVolumes[kind].part, input: { volumeId, vmId } }));

/** For a start on a host that is settled: refused before anything is done to the VM. */
export const planOwnStep = <I extends VmInput>(hostOf: (ctx: Context<I>) => string): Step<I> => ({
  name: 'plan-own-volumes',
  foreseeable: true,
  why: 'recorded before the volumes are made, so that a repeated step makes the same ones',
  run: async (ctx): Promise<OwnPlan> => {
    const hostId = hostOf(ctx);
    const plan = await planOwn(ctx, { hostId });
    const refusal = plan.confinements.find(({ hostIds }) => hostIds !== null && !hostIds.some((id) => id === hostId));
    if (!refusal) return plan;
    const hostName = (await ctx.tx((tx) => findHost(tx, hostId)))?.name ?? hostId;
    throw new FaultError(NoCapacity.fault(`The VM’s host ${refusal.text}.`, { refusals: [{ hostId, hostName, reason: refusal.reason, text: refusal.text }] }));
  },
});

export const makeOwnStep = <I extends VmInput>(planStep: string, hostOf: (ctx: Context<I>) => string): Step<I> => ({
  name: 'make-own-volumes',
  foreseeable: true,
  run: async (ctx) => {
    const plan = ctx.output<OwnPlan>(planStep);
    if (plannedIn(plan).length === 0) return {};
    const vm = await ctx.tx((tx) => vmOf(tx, ctx.input.vmId));
    await ctx.children(ownProvisions({ ...vm, vmId: vm.id }, plan, hostOf(ctx) as HostId));
    await setVm(ctx, ownChange(plan));
    return {};
  },
  undo: async (ctx) => {
    const plan = ctx.output<OwnPlan>(planStep);
    const planned = plannedIn(plan);
    if (planned.length === 0) return;
    await ctx.children(ownDiscards((await ctx.tx((tx) => vmOf(tx, ctx.input.vmId))).id, plan));
    await setVm(ctx, Object.fromEntries(planned.map(({ kind }) => [kind, null])));
  },
});
