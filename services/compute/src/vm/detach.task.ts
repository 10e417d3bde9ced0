// Detaches a disk or a NIC. The guest is asked first and nothing has changed when it refuses; volume and addresses are
// somebody else's only after the host has said that QEMU holds them no more (security S10).
import { discardPorts, discardVolume, releaseVolume, type VmId, type VmSpec } from '#contracts';
import { defineTask, type TaskKind } from '#tasks';
import { adjust, adjustBack, hostDiskOf, hostNicOf, retryHostForMs, setSpec, withDisk, withNic, withoutDisk, withoutNic, type Plugged, type PlugInput } from './plug.steps.task.ts';
import { endUntouched, endsOf } from './vm-end.task.ts';

export interface DetachDiskInput extends PlugInput { readonly vmId: VmId; readonly disk: VmSpec['disks'][number]; readonly keep: boolean; readonly waitMs: number }
export interface DetachNicInput extends PlugInput { readonly vmId: VmId; readonly nic: VmSpec['nics'][number]; readonly waitMs: number }

export const detachDiskTask: TaskKind<DetachDiskInput> = defineTask<DetachDiskInput>({
  kind: 'compute.vm.detach-disk',
  object: 'vm',
  steps: [
    {
      name: 'plug-out',
      retryForMs: retryHostForMs,
      run: async (ctx): Promise<Plugged> => ({ guest: await adjust(ctx, { kind: 'detach-disk', diskId: ctx.input.disk.diskId, waitMs: ctx.input.waitMs }, 'plug') }),
      undo: async (ctx) => ctx.input.running !== null && adjustBack(ctx, { kind: 'attach-disk', disk: await hostDiskOf(ctx, ctx.input.disk) }),
    },
    {
      name: 'record',
      run: (ctx) => setSpec(ctx, withoutDisk(ctx.input.disk.diskId)),
      undo: (ctx) => setSpec(ctx, withDisk(ctx.input.disk)),
    },
    {
      name: 'release-volume',
      noReturn: true,
      run: (ctx): Promise<unknown> => {
        const { keep, vmId, disk: { volumeId } } = ctx.input;
        return keep ? ctx.request(releaseVolume, { volumeId, vmId }) : ctx.child(discardVolume, { volumeId, vmId });
      },
    },
  ],
  onFinished: endsOf({ succeeded: endUntouched, failed: endUntouched }),
});

export const detachNicTask: TaskKind<DetachNicInput> = defineTask<DetachNicInput>({
  kind: 'compute.vm.detach-nic',
  object: 'vm',
  steps: [
    {
      name: 'plug-out',
      retryForMs: retryHostForMs,
      run: async (ctx): Promise<Plugged> => ({ guest: await adjust(ctx, { kind: 'detach-nic', nicId: ctx.input.nic.nicId, waitMs: ctx.input.waitMs }, 'plug') }),
      undo: async (ctx) => ctx.input.running !== null && adjustBack(ctx, { kind: 'attach-nic', nic: await hostNicOf(ctx, ctx.input.nic) }),
    },
    {
      name: 'record',
      run: (ctx) => setSpec(ctx, withoutNic(ctx.input.nic.nicId)),
      undo: (ctx) => setSpec(ctx, withNic(ctx.input.nic)),
    },
    {
      name: 'release-port',
      noReturn: true,
      run: (ctx) => ctx.request(discardPorts, { vmId: ctx.input.vmId, nicId: ctx.input.nic.nicId }),
    },
  ],
  onFinished: endsOf({ succeeded: endUntouched, failed: endUntouched }),
});
