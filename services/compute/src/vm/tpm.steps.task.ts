// A VM's TPM in the tasks that start it: the first start with one makes the volume of its keys (a start without one deletes
// it, `dropTpm`). Between those two nothing touches it: it stays with the VM through stops, hosts and the recycle bin.
import { NoCapacity, chooseDatastore, discardVolume, provisionVolume, type DatastoreId, type FolderId, type HostId, type UserId, type VmId, type VolumeId } from '#contracts';
import { FaultError, newUuid } from '#kernel';
import type { Step, StepContext } from '#tasks';
import { findHost, hostsWithTpm } from '../host/host.store.ts';
import { specOfStart, tpmBytes } from './tpm.ts';
import { seesDatastore, setVm, vmOf, type Confining, type VmInput } from './vm.steps.task.ts';
import { volumeName } from './vm.ts';

type Context<I extends VmInput> = StepContext<I>;
type Confined = Confining['confinements'][number];
/** The volume that this task makes; null = the VM has one, or needs none. */
export interface TpmPlan { readonly tpm: { readonly volumeId: VolumeId; readonly datastoreId: DatastoreId } | null; readonly confinements: Confined[] }

const hasSwtpm = (hostIds: HostId[]): Confined => ({ reason: 'hardware', text: 'cannot give a VM a TPM: swtpm is not installed there', hostIds });

interface TpmWish {
  readonly hostId: string | null;
  readonly loadsMemory?: boolean;
  /** The first disk's, where the spec has none yet. */
  readonly beside?: { readonly datastoreId: DatastoreId; readonly hostIds: HostId[] } | undefined;
}

/** Where the volume will lie, with its id: beside the first disk, so that the VM goes wherever that can. */
export async function planTpm<I extends VmInput>(ctx: Context<I>, { hostId, loadsMemory = false, beside }: TpmWish): Promise<TpmPlan> {
  const vm = await ctx.tx((tx) => vmOf(tx, ctx.input.vmId));
  const spec = specOfStart(vm, loadsMemory);
  if (spec.tpm === 'none') return { tpm: null, confinements: [] };
  const confinements = [hasSwtpm(await ctx.tx((tx) => hostsWithTpm(tx, vm.clusterId)))];
  if (vm.status.tpm !== null) return { tpm: null, confinements };
  const first = spec.disks[0]?.datastoreId;
  const store = beside ?? (await ctx.request(chooseDatastore, { sizeBytes: tpmBytes, hostId, sharedFirst: true, ...(first === undefined ? {} : { datastoreId: first }) }, { part: 'tpm' }));
  return { tpm: { volumeId: newUuid() as VolumeId, datastoreId: store.datastoreId }, confinements: [...confinements, seesDatastore(store.datastoreId, store.hostIds)] };
}

/** The child that makes the planned volume. */
export const tpmVolume = ({ vmId, name, ownerId, folderId }: { vmId: VmId; name: string; ownerId: UserId | null; folderId: FolderId | null }, planned: NonNullable<TpmPlan['tpm']>, hostId: HostId | null) => ({
  operation: provisionVolume, part: 'tpm',
  input: { ...planned, name: volumeName(name, 'TPM'), sizeBytes: tpmBytes, source: null, format: 'raw' as const, vmId, hostId, ownerId, folderId },
});

/** For a start on a host that is settled: refused before anything is done to the VM. */
export const planTpmStep = <I extends VmInput>(hostOf: (ctx: Context<I>) => string): Step<I> => ({
  name: 'plan-tpm',
  foreseeable: true,
  why: 'recorded before the volume is made, so that a repeated step makes the same one',
  run: async (ctx): Promise<TpmPlan> => {
    const hostId = hostOf(ctx);
    const plan = await planTpm(ctx, { hostId });
    const refusal = plan.confinements.find(({ hostIds }) => hostIds !== null && !hostIds.some((id) => id === hostId));
    if (!refusal) return plan;
    const hostName = (await ctx.tx((tx) => findHost(tx, hostId)))?.name ?? hostId;
    throw new FaultError(NoCapacity.fault(`The VM’s host ${refusal.text}.`, { refusals: [{ hostId, hostName, reason: refusal.reason, text: refusal.text }] }));
  },
});

export const makeTpmStep = <I extends VmInput>(plannedIn: string, hostOf: (ctx: Context<I>) => string): Step<I> => ({
  name: 'make-tpm',
  foreseeable: true,
  run: async (ctx) => {
    const { tpm } = ctx.output<TpmPlan>(plannedIn);
    if (tpm === null) return {};
    const vm = await ctx.tx((tx) => vmOf(tx, ctx.input.vmId));
    await ctx.children([tpmVolume({ ...vm, vmId: vm.id }, tpm, hostOf(ctx) as HostId)]);
    await setVm(ctx, { tpm });
    return {};
  },
  undo: async (ctx) => {
    const { tpm } = ctx.output<TpmPlan>(plannedIn);
    if (tpm === null) return;
    await ctx.child(discardVolume, { volumeId: tpm.volumeId, vmId: (await ctx.tx((tx) => vmOf(tx, ctx.input.vmId))).id });
    await setVm(ctx, { tpm: null });
  },
});
