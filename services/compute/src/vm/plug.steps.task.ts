// Steps that attach and detach tasks share: the spec is changed, and QEMU, where one runs, on its host. A VM that ends
// meanwhile has nothing to be plugged into or out of any more; its next start takes the spec as it is then.
import {
  WrongState, hostVmAdjust, placesOfVolumes, wiringOfVm,
  type GuestWord, type HostDisk, type HostNic, type HostVmChange, type Vm, type VmSpec,
} from '#contracts';
import { FaultError } from '#kernel';
import { asResult, type StepContext } from '#tasks';
import type { Opening } from './hardware.ts';
import { hostSpecOf } from './host-spec.ts';
import { isOver, setVm, vmOf, waitOut, type VmInput } from './vm.steps.task.ts';

export interface PlugInput extends VmInput, Opening {}
type Context<I extends PlugInput> = StepContext<I>;

/** What the guest of the running VM said; null = nothing ran. */
export interface Plugged { readonly guest: GuestWord | null }

export const retryHostForMs = 60_000;

/** Sends the change to the QEMU that runs and answers what its guest says; null = none runs. */
export async function adjust<I extends PlugInput>(ctx: Context<I>, change: HostVmChange, part: string): Promise<GuestWord | null> {
  const { running, vmId } = ctx.input;
  if (running === null) return null;
  const answer = await asResult(ctx.host(running.hostId, hostVmAdjust, { vmId, epoch: running.epoch, change }, { part }));
  if (answer.ok) return answer.value.guest;
  if (isOver(answer.fault)) return null;
  throw new FaultError(answer.fault);
}

/** The same on the way back: the host is waited for, however long it is away. */
export const adjustBack = <I extends PlugInput>(ctx: Context<I>, change: HostVmChange): Promise<void> =>
  (ctx.input.running === null ? Promise.resolve() : waitOut(ctx, ctx.input.running.hostId, adjust(ctx, change, 'back').then(() => undefined)));

/** Changes the spec of the VM as it is now. */
export async function setSpec<I extends PlugInput>(ctx: Context<I>, change: (spec: VmSpec) => VmSpec): Promise<Record<string, never>> {
  await setVm(ctx, ({ spec }) => ({ spec: change(spec) }));
  return {};
}

type Disk = VmSpec['disks'][number];
type Nic = VmSpec['nics'][number];
export const withDisk = (disk: Disk) => (spec: VmSpec): VmSpec => ({ ...spec, disks: [...spec.disks.filter(({ diskId }) => diskId !== disk.diskId), disk] });
export const withoutDisk = (diskId: string) => (spec: VmSpec): VmSpec => ({ ...spec, disks: spec.disks.filter((disk) => disk.diskId !== diskId) });
export const withNic = (nic: Nic) => (spec: VmSpec): VmSpec => ({ ...spec, nics: [...spec.nics.filter(({ nicId }) => nicId !== nic.nicId), nic] });
export const withoutNic = (nicId: string) => (spec: VmSpec): VmSpec => ({ ...spec, nics: spec.nics.filter((nic) => nic.nicId !== nicId) });

const alone = (vm: Vm, disks: readonly Disk[], nics: readonly Nic[]): Vm => ({ ...vm, spec: { ...vm.spec, disks: [...disks], nics: [...nics] } });

/** The disk as its host needs it; refused where the host does not see its datastore. */
export async function hostDiskOf<I extends PlugInput>(ctx: Context<I>, disk: Disk): Promise<HostDisk> {
  const vm = await ctx.tx((tx) => vmOf(tx, ctx.input.vmId));
  const { places } = await ctx.request(placesOfVolumes, { volumeIds: [disk.volumeId] }, { part: 'places' });
  refuseUnseen(ctx.input, places[0]?.hostIds ?? [], 'does not see the datastore of the volume');
  return hostSpecOf(alone(vm, [disk], []), places.map(({ place }) => place), []).disks[0]!; // one in, one out
}

export async function hostNicOf<I extends PlugInput>(ctx: Context<I>, nic: Nic): Promise<HostNic> {
  const vm = await ctx.tx((tx) => vmOf(tx, ctx.input.vmId));
  const { nics, hostIds } = await ctx.request(wiringOfVm, { vmId: vm.id }, { part: 'wiring' });
  refuseUnseen(ctx.input, hostIds, 'has not the distributed switch of the port group');
  return hostSpecOf(alone(vm, [], [nic]), [], nics).nics[0]!; // one in, one out
}

function refuseUnseen({ running }: PlugInput, hostIds: readonly string[] | null, what: string): void {
  if (running === null || hostIds === null || hostIds.includes(running.hostId)) return;
  throw new FaultError(WrongState.fault(`The host on which the VM runs ${what}.`, { state: 'running', allowed: ['stopped'] }));
}
