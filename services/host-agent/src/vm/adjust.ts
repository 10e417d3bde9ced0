// Changes to a VM that runs, as decisions on its document. Pure: what a change makes of the document, why it cannot be
// made, and by which id QEMU knows the device that it is about. A new kind of change is one more row of the table.
import type { HostDisk, HostNic, HostVmChange, HostVmSpec } from '#contracts';
import { DeviceRefused, NoFreeSlot } from '#contracts';
import type { Fault } from '#kernel';
import { canonicalJson } from '#kernel';
import { diskDeviceId, nicDeviceId } from './command-line.ts';

type Kind = HostVmChange['kind'];
export type ChangeOf<K extends Kind> = Extract<HostVmChange, { kind: K }>;

interface Row<C> {
  /** The document with the change in it; the same one where it is in already. */
  applied(spec: HostVmSpec, change: C): HostVmSpec;
  /** Why the document cannot take the change; null = it can. */
  refusal(spec: HostVmSpec, change: C): Fault | null;
  /** Whether QEMU, which has these devices, shows the change. */
  shown(spec: HostVmSpec, change: C, devices: readonly string[]): boolean;
}

const taken = (slot: string): Fault => NoFreeSlot.fault(`Slot ${slot} holds another device.`, { slot });
const sameSlot = (one: HostDisk, other: HostDisk): boolean => one.bus === other.bus && one.slot === other.slot;

const rows: { readonly [K in Kind]: Row<ChangeOf<K>> } = {
  'attach-disk': {
    applied: (spec, { disk }) => ({ ...spec, disks: [...spec.disks.filter(({ diskId }) => diskId !== disk.diskId), disk] }),
    refusal: (spec, { disk }) => (spec.disks.some((one) => sameSlot(one, disk) && one.diskId !== disk.diskId) ? taken(diskDeviceId(disk)) : null),
    shown: (spec, { disk }, devices) => devices.includes(diskDeviceId(disk)) && spec.disks.some(({ diskId }) => diskId === disk.diskId),
  },
  'detach-disk': {
    applied: (spec, { diskId }) => ({ ...spec, disks: spec.disks.filter((disk) => disk.diskId !== diskId) }),
    refusal: () => null,
    // The document loses a device after QEMU has.
    shown: (spec, { diskId }) => spec.disks.every((disk) => disk.diskId !== diskId),
  },
  'attach-nic': {
    applied: (spec, { nic }) => ({ ...spec, nics: [...spec.nics.filter(({ nicId }) => nicId !== nic.nicId), nic] }),
    refusal: (spec, { nic }) => (spec.nics.some((one) => one.slot === nic.slot && one.nicId !== nic.nicId) ? taken(nicDeviceId(nic)) : null),
    shown: (spec, { nic }, devices) => devices.includes(nicDeviceId(nic)) && spec.nics.some(({ nicId }) => nicId === nic.nicId),
  },
  'change-nic': {
    applied: (spec, { nic }) => ({ ...spec, nics: spec.nics.map((one) => (one.nicId === nic.nicId ? nic : one)) }),
    refusal: (spec, { nic }) => (nicOf(spec, nic.nicId)?.slot === nic.slot ? null : DeviceRefused.fault('The VM has no such NIC in this slot.', { reason: `${nicDeviceId(nic)} is another one` })),
    // The agent has put the ports as the document says before it takes commands.
    shown: (spec, { nic }, devices) => devices.includes(nicDeviceId(nic)) && canonicalJson(nicOf(spec, nic.nicId)) === canonicalJson(nic),
  },
  'detach-nic': {
    applied: (spec, { nicId }) => ({ ...spec, nics: spec.nics.filter((nic) => nic.nicId !== nicId) }),
    refusal: () => null,
    shown: (spec, { nicId }) => spec.nics.every((nic) => nic.nicId !== nicId),
  },
  limits: {
    applied: (spec, { cpuService, memoryService }) => ({ ...spec, cpuService, memoryService }),
    refusal: () => null,
    // The agent has put the groups as the document says before it takes commands.
    shown: (spec, { cpuService, memoryService }) => canonicalJson([spec.cpuService, spec.memoryService]) === canonicalJson([cpuService, memoryService]),
  },
};

// The row of a change's kind takes the change; TypeScript cannot follow that through the lookup.
const rowOf = (change: HostVmChange): Row<HostVmChange> => rows[change.kind];

export const applied = (spec: HostVmSpec, change: HostVmChange): HostVmSpec => rowOf(change).applied(spec, change);
export const refusal = (spec: HostVmSpec, change: HostVmChange): Fault | null => rowOf(change).refusal(spec, change);
/** After a crash: the document and QEMU agree that the change is made. */
export const isApplied = (spec: HostVmSpec, change: HostVmChange, devices: readonly string[]): boolean => rowOf(change).shown(spec, change, devices);

export const diskOf = (spec: HostVmSpec, diskId: string): HostDisk | undefined => spec.disks.find((disk) => disk.diskId === diskId);
export const nicOf = (spec: HostVmSpec, nicId: string): HostNic | undefined => spec.nics.find((nic) => nic.nicId === nicId);
