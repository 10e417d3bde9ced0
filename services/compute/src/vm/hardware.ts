// Changes of a VM's hardware as decisions: whether one may begin, whether it reaches into a running QEMU, and which slot a
// device gets. Pure.
import { NoFreeSlot, NotFound, WrongState, type Vm, type VmSpec, type VmState } from '#contracts';
import { ok, type Result } from '#kernel';
import { begin } from './vm.ts';

/** Where the change has to be carried out besides in the spec; null = nothing runs. */
export type Running = { readonly hostId: string; readonly epoch: number } | null;
export type BeforeState = Extract<VmState, 'stopped' | 'failed' | 'running'>;
export interface Opening { readonly running: Running; readonly before: BeforeState }

/** Whether a change of hardware may begin now. */
export function beginModify(vm: Vm, hostResponds: boolean): Result<Opening> {
  const { state, hostId, epoch } = vm.status;
  const allowed = begin({ id: vm.id, state, taskId: vm.taskId, hostId }, 'modify', hostResponds);
  if (!allowed.ok) return allowed;
  return ok({ before: state as BeforeState, running: state === 'running' && hostId !== null ? { hostId, epoch } : null });
}

type Bus = VmSpec['disks'][number]['bus'];
/** How many devices a VM can have of each kind, and whether one can be plugged in while it runs. */
const diskSlots: Readonly<Record<Bus, { readonly slots: number; readonly hot: boolean }>> = {
  virtio: { slots: 48, hot: true }, scsi: { slots: 64, hot: true }, sata: { slots: 6, hot: false },
};
const nicSlots = 16;
const mostDisks = 64;

const lowestFree = (used: readonly number[], slots: number): number | undefined => Array.from({ length: slots }, (_, slot) => slot).find((slot) => !used.includes(slot));

export function diskSlot({ disks }: VmSpec, bus: Bus, running: Running): Result<number> {
  const { slots, hot } = diskSlots[bus];
  if (running !== null && !hot) return WrongState.fail(`A ${bus} disk can be attached only while the VM is stopped.`, { state: 'running', allowed: ['stopped', 'failed'] });
  const slot = disks.length >= mostDisks ? undefined : lowestFree(disks.filter((disk) => disk.bus === bus).map((disk) => disk.slot), slots);
  return slot === undefined ? NoFreeSlot.fail(`The VM has no free ${bus} slot.`, { slot: bus }) : ok(slot);
}

export function nicSlot({ nics }: VmSpec): Result<number> {
  const slot = lowestFree(nics.map((nic) => nic.slot), nicSlots);
  return slot === undefined ? NoFreeSlot.fail('The VM has no free NIC slot.', { slot: 'nic' }) : ok(slot);
}

export function nicOf({ nics }: VmSpec, nicId: string): Result<VmSpec['nics'][number]> {
  const nic = nics.find((one) => one.nicId === nicId);
  return nic ? ok(nic) : NotFound.fail('The VM has no such NIC.', { noun: 'nic', id: nicId });
}

/** A disk that may be detached in this state. */
export function detachable({ disks }: VmSpec, diskId: string, running: Running): Result<VmSpec['disks'][number]> {
  const disk = disks.find((one) => one.diskId === diskId);
  if (!disk) return NotFound.fail('The VM has no such disk.', { noun: 'disk', id: diskId });
  if (running !== null && !diskSlots[disk.bus].hot) return WrongState.fail(`A ${disk.bus} disk can be detached only while the VM is stopped.`, { state: 'running', allowed: ['stopped', 'failed'] });
  return ok(disk);
}
