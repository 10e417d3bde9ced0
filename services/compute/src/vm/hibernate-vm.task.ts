// Puts a VM to sleep and wakes it. Its memory is a volume of the VM's like any other, and is deleted only when the guest
// runs again. Whatever fails on the way down leaves the VM running, and on the way up hibernated.
import {
  HostCommandFailed, chooseDatastore, discardVolume, hostVmResume, hostVmSave, hostVmStatus, placesOfVolumes, provisionVolume,
  type DatastoreId, type FolderId, type HostId, type HostVmStatus, type UserId, type VmId, type VolumeId,
} from '#contracts';
import { allEnded, type Fault } from '#kernel';
import { asResult, defineTask, type StepContext, type TaskKind } from '#tasks';
import { endAsHostSays, endHibernated, endWoken, endsOf } from './vm-end.task.ts';
import { makeOwnStep, planOwn } from './own-volumes.steps.task.ts';
import { findHostsStep, forget, isOver, placeStep, raiseEpochStep, release, startOnHost, startOnHostStep, unlessOver, vmOf, waitOut, type Placed, type Raised, type VmInput } from './vm.steps.task.ts';
import type { SavedVm } from './vm.store.ts';

export interface HibernateInput extends VmInput {
  readonly vmId: VmId; readonly name: string; readonly hostId: HostId; readonly epoch: number;
  readonly volumeId: VolumeId; readonly datastoreId: DatastoreId | null; readonly sizeBytes: number;
  readonly ownerId: UserId | null; readonly folderId: FolderId | null;
}
export interface WakeInput extends VmInput { readonly vmId: VmId; readonly hostId: string | null; readonly saved: SavedVm; readonly discardMemory: boolean }

interface Chosen { readonly datastoreId: DatastoreId }
interface Saved { readonly status: HostVmStatus; readonly savedAt: string }

const savedVm = ({ volumeId, sizeBytes }: HibernateInput, { datastoreId }: Chosen, { status, savedAt }: Saved): SavedVm | null =>
  (status.saved === null ? null : { volumeId, datastoreId, sizeBytes, savedAt, like: status.saved });

const resume = (ctx: StepContext<HibernateInput> | StepContext<WakeInput>, { hostId, epoch }: Raised): Promise<HostVmStatus> =>
  ctx.host(hostId, hostVmResume, { vmId: ctx.input.vmId, epoch }, { part: 'resume' });

/** What the host is still about; nobody can tell yet whether the guest's memory is in the volume, or is being read from it. */
const unsettled: ReadonlySet<HostVmStatus['state']> = new Set<HostVmStatus['state']>(['starting', 'stopping', 'unknown']);
const SETTLED_LOOK_MS = 500;

/** The VM runs again, whatever the host had come to: its guest may be held still, or gone with its memory saved. */
async function runOn(ctx: StepContext<HibernateInput>): Promise<void> {
  const { vmId, hostId, epoch } = ctx.input;
  const status = await ctx.host(hostId, hostVmStatus, { vmId }, { part: 'look' });
  if (unsettled.has(status.state)) ctx.waitFor({ what: `the host to be done with the VM, which is ${status.state} there`, holder: hostId, lookAgainMs: SETTLED_LOOK_MS });
  const saved = savedVm(ctx.input, ctx.output<Chosen>('choose-datastore'), { status, savedAt: '' });
  if (saved !== null) await startOnHost(ctx, await ctx.tx((tx) => vmOf(tx, vmId)), { hostId, epoch }, saved);
  if (saved !== null || status.state === 'paused') await unlessOver(resume(ctx, { hostId, epoch }));
}

async function forgetIfThere(ctx: StepContext<HibernateInput>): Promise<void> {
  const done = await asResult(forget(ctx, ctx.input.hostId, ctx.input.epoch));
  if (!done.ok) ctx.log.warn({ vmId: ctx.input.vmId, fault: done.fault.code }, 'the directory of a hibernated VM stays on its host for now');
}

export const hibernateVmTask: TaskKind<HibernateInput> = defineTask<HibernateInput>({
  kind: 'compute.vm.hibernate',
  object: 'vm',
  steps: [
    {
      name: 'choose-datastore',
      foreseeable: true,
      run: async (ctx): Promise<Chosen> => {
        const { datastoreId, sizeBytes, hostId } = ctx.input;
        return ctx.request(chooseDatastore, { sizeBytes, hostId, sharedFirst: true, ...(datastoreId === null ? {} : { datastoreId }) }, { part: 'memory' });
      },
    },
    {
      name: 'make-volume',
      foreseeable: true,
      run: (ctx) => {
        const { volumeId, name, sizeBytes, vmId, hostId, ownerId, folderId } = ctx.input;
        const { datastoreId } = ctx.output<Chosen>('choose-datastore');
        return ctx.child(provisionVolume, { volumeId, name, datastoreId, sizeBytes, source: null, vmId, hostId, ownerId, folderId });
      },
      undo: (ctx) => ctx.child(discardVolume, { volumeId: ctx.input.volumeId, vmId: ctx.input.vmId }),
    },
    {
      name: 'save-memory',
      slots: ({ input }) => [{ noun: 'host', id: input.hostId, of: 'saves' }],
      run: async (ctx): Promise<Saved> => {
        const { vmId, hostId, epoch, volumeId } = ctx.input;
        const { places } = await ctx.request(placesOfVolumes, { volumeIds: [volumeId] }, { part: 'place' });
        const status = await ctx.host(hostId, hostVmSave, { vmId, epoch, place: places[0]!.place }, { part: 'save', waitsFor: 'the host to save the memory' });
        return { status, savedAt: new Date().toISOString() };
      },
      undo: (ctx) => waitOut(ctx, ctx.input.hostId, runOn(ctx)),
    },
    {
      name: 'let-go',
      noReturn: true,
      retryForMs: 10_000,
      why: 'capacity is free only when QEMU is gone; nothing on the host is needed to wake it, and one that is away is cleaned when it returns (host.reports)',
      run: async (ctx) => {
        await allEnded(release(ctx), forgetIfThere(ctx));
        return {};
      },
    },
  ],
  onFinished: endsOf({
    succeeded: endHibernated((outcome) => savedVm(outcome.input as HibernateInput, outcome.output<Chosen>('choose-datastore')!, outcome.output<Saved>('save-memory')!)),
    failed: endAsHostSays,
  }),
});

/** By such a refusal the guest has not gone on: it ended before that, or its QEMU keeps it. Its memory is as good as it was. */
const heldStill = (fault: Fault): boolean => isOver(fault) || fault.code === HostCommandFailed.code;

export const wakeVmTask: TaskKind<WakeInput> = defineTask<WakeInput>({
  kind: 'compute.vm.wake',
  object: 'vm',
  steps: [
    findHostsStep<WakeInput>((ctx) => planOwn(ctx, { hostId: ctx.input.hostId, loadsMemory: !ctx.input.discardMemory }), ({ discardMemory, saved }) => (discardMemory ? [] : [saved.volumeId])),
    placeStep<WakeInput>(),
    makeOwnStep<WakeInput>('find-hosts', (ctx) => ctx.output<Placed>('place').hostId),
    raiseEpochStep<WakeInput>((ctx) => ctx.output<Placed>('place').hostId),
    startOnHostStep<WakeInput>({ memoryOf: ({ discardMemory, saved }) => (discardMemory ? null : saved) }),
    {
      name: 'go-on',
      noReturn: true,
      turnsBackOn: heldStill,
      why: 'from here on the guest changes its disks, and the saved memory fits them no longer; a host that refuses has not let it',
      run: (ctx) => (ctx.input.discardMemory ? Promise.resolve(ctx.output<HostVmStatus>('start-on-host')) : resume(ctx, ctx.output<Raised>('raise-epoch'))),
    },
    {
      name: 'drop-memory',
      why: 'a task of storage from here on, which is not waited for: the guest runs',
      run: (ctx) => ctx.request(discardVolume, { volumeId: ctx.input.saved.volumeId, vmId: ctx.input.vmId }),
    },
  ],
  onFinished: endsOf({ succeeded: endWoken, failed: endHibernated(() => null) }),
});
