// The volumes that a VM has beside its disks: the keys of its TPM and the variables of its UEFI. What they are, and which a start
// needs. Pure.
import type { Vm, VmSpec, VolumeId } from '#contracts';
import { effectiveSpec } from './pending.ts';

const MiB = 1024 * 1024;

interface OwnVolume {
  /** What it is called, behind the VM's name. */
  readonly title: string;
  /** Part of a step, as ids of its child tasks have it. */
  readonly part: string;
  readonly sizeBytes: number;
  isNeeded(spec: Pick<VmSpec, 'tpm' | 'firmware'>): boolean;
}

/** What swtpm needs is a few KiB, and each kind of UEFI has half a MiB; smaller volumes there are not. */
export const ownVolumes = {
  tpm: { title: 'TPM', part: 'tpm', sizeBytes: MiB, isNeeded: ({ tpm }) => tpm !== 'none' },
  uefiVars: { title: 'UEFI', part: 'uefi-vars', sizeBytes: 2 * MiB, isNeeded: ({ firmware }) => firmware !== 'bios' },
} as const satisfies Readonly<Record<string, OwnVolume>>;

export type OwnKind = keyof typeof ownVolumes;
export const ownKinds: readonly OwnKind[] = ['tpm', 'uefiVars'];

/** Those that have been made, of those that a start with this spec needs. */
export const ownVolumesOf = ({ status }: Pick<Vm, 'status'>, spec: Pick<VmSpec, 'tpm' | 'firmware'>): VolumeId[] =>
  ownKinds.flatMap((kind) => (ownVolumes[kind].isNeeded(spec) ? status[kind]?.volumeId ?? [] : []));

/** All that have been made. */
export const allOwnVolumesOf = ({ status }: Pick<Vm, 'status'>): VolumeId[] => ownKinds.flatMap((kind) => status[kind]?.volumeId ?? []);

/** The spec that a start takes: one that loads a memory is what it was when that was saved. */
export const specOfStart = (vm: Vm, loadsMemory: boolean): VmSpec => (loadsMemory ? vm.spec : effectiveSpec(vm));
