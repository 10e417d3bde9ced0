// Puts together what a host needs to run a VM: its spec, where its volumes lie, how its NICs are wired.
import type { HostNic, HostVmSpec, ReplyOf, Vm, VolumePlace, wiringOfVm } from '#contracts';
import type { OwnKind } from './own-volumes.ts';

export type Wiring = ReplyOf<typeof wiringOfVm>['nics'];

/** Throws when a disk has no place or a NIC no wiring: storage and network were asked for exactly these. */
export function hostSpecOf(vm: Vm, places: readonly VolumePlace[], wiring: Wiring): HostVmSpec {
  const { spec } = vm;
  const rank = (device: 'disk' | 'network'): number => spec.bootOrder.indexOf(device);
  const bootIndex = (device: 'disk' | 'network', slot: number): number | null => (rank(device) === -1 ? null : rank(device) * 64 + slot + 1);
  const own = (kind: OwnKind): VolumePlace | undefined => places.find(({ volumeId }) => volumeId === vm.status[kind]?.volumeId);
  const tpm = spec.tpm === 'none' ? null : own('tpm');
  if (tpm === undefined) throw new Error(`the TPM of VM ${vm.id} has no place`);
  const uefiVars = spec.firmware === 'bios' ? null : own('uefiVars');
  if (uefiVars === undefined) throw new Error(`the UEFI variables of VM ${vm.id} have no place`);
  return {
    vmId: vm.id, name: vm.name, uid: vm.uid, cpu: spec.cpu, cpuModel: 'max', cpuService: spec.cpuService, memoryBytes: spec.memoryBytes, memoryService: spec.memoryService, firmware: spec.firmware, clock: spec.clock, tpm, uefiVars,
    disks: spec.disks.map((disk) => {
      const place = places.find((candidate) => candidate.volumeId === disk.volumeId);
      if (!place) throw new Error(`volume ${disk.volumeId} of VM ${vm.id} has no place`);
      return { diskId: disk.diskId, slot: disk.slot, bus: disk.bus, place, readOnly: disk.readOnly, bootIndex: bootIndex('disk', disk.slot) };
    }),
    nics: spec.nics.map((nic): HostNic => {
      const wired = wiring.find((candidate) => candidate.nicId === nic.nicId);
      if (!wired) throw new Error(`NIC ${nic.nicId} of VM ${vm.id} is not wired`);
      return { ...wired, slot: nic.slot, bootIndex: bootIndex('network', nic.slot) };
    }),
  };
}
