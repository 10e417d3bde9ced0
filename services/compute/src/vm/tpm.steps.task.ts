// A VM's TPM in the tasks that start it: the first start with one makes the volume of its keys (a start without one deletes
// it, `dropTpm`). Between those two nothing touches it: it stays with the VM through stops, hosts and the recycle bin.
import { NoCapacity, chooseDatastore, discardVolume, provisionVolume, type DatastoreId, type HostId, type Vm, type VolumeId } from '#contracts';
import { FaultError, newUuid } from '#kernel';
import type { Step, StepContext } from '#tasks';
import type { EntityManager } from 'typeorm';
import { hostsWithTpm } from '../host/host.store.ts';
import { specOfStart, tpmBytes } from './tpm.ts';
import { seesDatastore, setVm, vmOf, type Confining, type VmInput } from './vm.steps.task.ts';
import { volumeName } from './vm.ts';

type Context<I extends VmInput> = StepContext<I>;
type Confined = Confining['confinements'][number];
/** The volume that this task makes; null = the VM has one, or needs none. */
export interface TpmPlan { readonly tpm: { readonly volumeId: VolumeId; readonly datastoreId: DatastoreId } | null; readonly confinements: Confined[] }

const hasSwtpm = (hostIds: HostId[]): Confined => ({ reason: 'hardware', text: 'cannot give a VM a TPM: swtpm is not installed there', hostIds });

/** The hosts that a VM with a TPM is confined to; none for a VM without. */
export async function tpmHosts(tx: EntityManager, vm: Pick<Vm, 'clusterId'>, tpm: Vm['spec']['tpm']): Promise<Confined[]> {
  return tpm === 'none' ? [] : [hasSwtpm(await hostsWithTpm(tx, vm.clusterId))];
}

/** Where the volume will lie, with its id: beside the first disk, so that the VM goes wherever that can. */
export async function planTpm<I extends VmInput>(ctx: Context<I>, hostId: string | null, loadsMemory = false): Promise<TpmPlan> {
  const vm = await ctx.tx((tx) => vmOf(tx, ctx.input.vmId));
  const spec = specOfStart(vm, loadsMemory);
  const confinements = await ctx.tx((tx) => tpmHosts(tx, vm, spec.tpm));
  if (spec.tpm === 'none' || vm.status.tpm !== null) return { tpm: null, confinements };
  const first = spec.disks[0]?.datastoreId;
  const store = await ctx.request(chooseDatastore, { sizeBytes: tpmBytes, hostId: hostId, sharedFirst: true, ...(first === undefined ? {} : { datastoreId: first }) }, { part: 'tpm' });
  return { tpm: { volumeId: newUuid() as VolumeId, datastoreId: store.datastoreId }, confinements: [...confinements, seesDatastore(store.datastoreId, store.hostIds)] };
}

/** For a start on a host that is settled: refused before anything is done to the VM. */
export const planTpmStep = <I extends VmInput>(hostOf: (ctx: Context<I>) => string): Step<I> => ({
  name: 'plan-tpm',
  why: 'recorded before the volume is made, so that a repeated step makes the same one',
  run: async (ctx): Promise<TpmPlan> => {
    const hostId = hostOf(ctx);
    const plan = await planTpm(ctx, hostId);
    const refusal = plan.confinements.find(({ hostIds }) => hostIds !== null && !hostIds.some((id) => id === hostId));
    if (refusal) throw new FaultError(NoCapacity.fault(`The VM’s host ${refusal.text}.`, { refusals: [{ hostId: hostId, hostName: '', reason: refusal.reason, text: refusal.text }] }));
    return plan;
  },
});

export const makeTpmStep = <I extends VmInput>(plannedIn: string, hostOf: (ctx: Context<I>) => string): Step<I> => ({
  name: 'make-tpm',
  run: async (ctx) => {
    const { tpm } = ctx.output<TpmPlan>(plannedIn);
    if (tpm === null) return {};
    const { id, name, ownerId, folderId } = await ctx.tx((tx) => vmOf(tx, ctx.input.vmId));
    await ctx.child(provisionVolume, { ...tpm, name: volumeName(name, 'TPM'), sizeBytes: tpmBytes, source: null, format: 'raw', vmId: id, hostId: hostOf(ctx), ownerId, folderId });
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
