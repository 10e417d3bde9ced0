// Changes to a VM that runs: one at a time, each kept in the VM's document on the host too, so that a later start from
// the directory has it. A new kind of change is one more member of the union.
import { z } from 'zod';
import { defineHostCommand } from '../define.ts';
import { CommandRunning, DeviceHeld, DeviceRefused, HostCommandFailed, JournalFailed, NoFreeSlot, NotFoundOnHost, StaleEpoch, VmBusy, WrongState } from '../errors.ts';
import { DiskId, NicId, VmId } from '../ids.ts';
import { CommandId, Epoch, HostDisk, HostNic, HostVmStatus, MemoryService, ResourceService } from './shapes.ts';

/** How long the guest is given to let a device go, ms. */
const waitMs = z.int().min(100).max(120_000).default(20_000);

export const HostVmChange = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('attach-disk'), disk: HostDisk }),
  z.strictObject({ kind: z.literal('detach-disk'), diskId: DiskId, waitMs }),
  z.strictObject({ kind: z.literal('attach-nic'), nic: HostNic }),
  z.strictObject({ kind: z.literal('change-nic'), nic: HostNic }),
  z.strictObject({ kind: z.literal('detach-nic'), nicId: NicId, waitMs }),
  z.strictObject({ kind: z.literal('limits'), cpuService: ResourceService, memoryService: MemoryService }),
]);
export type HostVmChange = z.infer<typeof HostVmChange>;

/** `confirmed` = the guest has let the device go, or its agent shows the new one; `not-seen` = its agent does not show it yet; `not-asked` = there is no agent to ask, or nothing to ask for. */
export const GuestWord = z.enum(['confirmed', 'not-seen', 'not-asked']);
export type GuestWord = z.infer<typeof GuestWord>;

export const hostVmAdjust = defineHostCommand('vm.adjust', {
  summary: 'Change a VM that runs; answers when QEMU has taken the change, and a device that leaves when the guest has let it go', actor: 'vm', probe: 'qemu-process', timeoutMs: 180_000,
  input: z.strictObject({ commandId: CommandId, vmId: VmId, epoch: Epoch, change: HostVmChange }), reply: HostVmStatus.extend({ guest: GuestWord }),
  errors: [VmBusy, StaleEpoch, CommandRunning, JournalFailed, NotFoundOnHost, WrongState, DeviceHeld, DeviceRefused, NoFreeSlot, HostCommandFailed],
});
