// Attaches a disk or a NIC. What it needs is taken first and the spec says so before QEMU is told, so that whatever dies
// in between, the same step finds its device, and an undo takes it out of QEMU before anybody else can have it.
import {
  attachVolume, chooseDatastore, discardPorts, discardVolume, provisionPort, provisionVolume, releaseVolume,
  type DatastoreId, type FolderId, type ReplyOf, type UserId, type VmId, type VmSpec,
} from '#contracts';
import { defineTask, type StepContext, type TaskKind } from '#tasks';
import type { PlannedDisk, PlannedNic } from './create-vm.task.ts';
import { adjust, adjustBack, hostDiskOf, hostNicOf, retryHostForMs, setSpec, withDisk, withNic, withoutDisk, withoutNic, type Plugged, type PlugInput } from './plug.steps.task.ts';
import { endUntouched, endsOf } from './vm-end.task.ts';

interface Owned { readonly ownerId: UserId | null; readonly folderId: FolderId | null }
export interface AttachDiskInput extends PlugInput, Owned {
  readonly vmId: VmId; readonly slot: number; readonly readOnly: boolean; readonly disk: Omit<PlannedDisk, 'source'>;
  /** The volume is made for the VM; else it is there and was nobody's. */
  readonly isNew: boolean; readonly name: string;
}
export interface AttachNicInput extends PlugInput, Owned { readonly vmId: VmId; readonly slot: number; readonly nic: PlannedNic }

interface Chosen { readonly datastoreId: DatastoreId }
const longestWaitMs = 20_000;

const diskOf = (ctx: StepContext<AttachDiskInput>): VmSpec['disks'][number] => {
  const { disk, slot, readOnly } = ctx.input;
  const { datastoreId } = ctx.output<Chosen>('choose-datastore');
  return { diskId: disk.diskId, slot, volumeId: disk.volumeId, datastoreId, sizeBytes: disk.sizeBytes, bus: disk.bus, readOnly };
};

export const attachDiskTask: TaskKind<AttachDiskInput> = defineTask<AttachDiskInput>({
  kind: 'compute.vm.attach-disk',
  object: 'vm',
  steps: [
    {
      name: 'choose-datastore',
      foreseeable: true,
      run: async (ctx): Promise<Chosen> => {
        const { disk: { datastoreId, sizeBytes }, isNew, running } = ctx.input;
        if (!isNew && datastoreId !== null) return { datastoreId };
        const named = datastoreId === null ? {} : { datastoreId };
        const { datastoreId: chosen, name = chosen } = await ctx.request(chooseDatastore, { sizeBytes, hostId: (running?.hostId ?? null), sharedFirst: true, ...named });
        ctx.decided(`the volume goes to the datastore ${name}`, { datastoreId: chosen });
        return { datastoreId: chosen };
      },
    },
    {
      name: 'take-volume',
      foreseeable: true,
      run: async (ctx) => {
        const { vmId, disk: { volumeId, sizeBytes }, isNew, name, running, ownerId, folderId } = ctx.input;
        if (!isNew) return ctx.request(attachVolume, { volumeId, vmId });
        const { datastoreId } = ctx.output<Chosen>('choose-datastore');
        return ctx.child(provisionVolume, { volumeId, name, datastoreId, sizeBytes, source: null, vmId, hostId: (running?.hostId ?? null), ownerId, folderId });
      },
      undo: (ctx): Promise<unknown> => {
        const { vmId, disk: { volumeId }, isNew } = ctx.input;
        return isNew ? ctx.child(discardVolume, { volumeId, vmId }) : ctx.request(releaseVolume, { volumeId, vmId });
      },
    },
    {
      name: 'record',
      run: (ctx) => setSpec(ctx, withDisk(diskOf(ctx))),
      undo: (ctx) => setSpec(ctx, withoutDisk(ctx.input.disk.diskId)),
    },
    {
      name: 'plug-in',
      retryForMs: retryHostForMs,
      run: async (ctx): Promise<Plugged> => ({ guest: ctx.input.running === null ? null : await adjust(ctx, { kind: 'attach-disk', disk: await hostDiskOf(ctx, diskOf(ctx)) }, 'plug') }),
      undo: (ctx) => adjustBack(ctx, { kind: 'detach-disk', diskId: ctx.input.disk.diskId, waitMs: longestWaitMs }),
    },
  ],
  onFinished: endsOf({ succeeded: endUntouched, failed: endUntouched }),
});

const nicOf = (ctx: StepContext<AttachNicInput>): VmSpec['nics'][number] => {
  const { nicId, id, portGroupId, mac, ip } = ctx.output<ReplyOf<typeof provisionPort>>('make-port');
  return { nicId, slot: ctx.input.slot, portId: id, portGroupId, mac, ip };
};

export const attachNicTask: TaskKind<AttachNicInput> = defineTask<AttachNicInput>({
  kind: 'compute.vm.attach-nic',
  object: 'vm',
  steps: [
    {
      name: 'make-port',
      foreseeable: true,
      run: (ctx) => ctx.request(provisionPort, { ...ctx.input.nic, vmId: ctx.input.vmId, ownerId: ctx.input.ownerId, folderId: ctx.input.folderId }),
      undo: (ctx) => ctx.request(discardPorts, { vmId: ctx.input.vmId, nicId: ctx.input.nic.nicId }),
    },
    {
      name: 'record',
      run: (ctx) => setSpec(ctx, withNic(nicOf(ctx))),
      undo: (ctx) => setSpec(ctx, withoutNic(ctx.input.nic.nicId)),
    },
    {
      name: 'plug-in',
      retryForMs: retryHostForMs,
      run: async (ctx): Promise<Plugged> => ({ guest: ctx.input.running === null ? null : await adjust(ctx, { kind: 'attach-nic', nic: await hostNicOf(ctx, nicOf(ctx)) }, 'plug') }),
      undo: (ctx) => adjustBack(ctx, { kind: 'detach-nic', nicId: ctx.input.nic.nicId, waitMs: longestWaitMs }),
    },
  ],
  onFinished: endsOf({ succeeded: endUntouched, failed: endUntouched }),
});
