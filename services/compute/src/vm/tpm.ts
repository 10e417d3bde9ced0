// When a VM's TPM has keys that a change would delete, and which volume a start gives it. Pure.
import { ConfirmationNeeded, type Vm, type VmSpec, type VolumeId } from '#contracts';
import { ok, type Result } from '#kernel';
import { effectiveSpec } from './pending.ts';

/** What swtpm needs is a few KiB; smaller volumes there are not. */
export const tpmBytes = 1024 * 1024;

/** The volumes of the TPM that a start with this spec needs, as far as they have been made. */
export const tpmVolumes = (vm: Pick<Vm, 'status'>, spec: Pick<VmSpec, 'tpm'>): VolumeId[] => (spec.tpm === 'none' || vm.status.tpm === null ? [] : [vm.status.tpm.volumeId]);

/** The spec that a start takes: one that loads a memory is what it was when that was saved. */
export const specOfStart = (vm: Vm, loadsMemory: boolean): VmSpec => (loadsMemory ? vm.spec : effectiveSpec(vm));

/** Taking away a TPM that has keys has to be confirmed: what they protect cannot be read without them. */
export function refuseLoss(vm: Vm, next: Pick<Vm, 'spec' | 'pending'>, confirmed: boolean): Result<undefined> {
  const goes = vm.status.tpm !== null && effectiveSpec(vm).tpm !== 'none' && effectiveSpec(next).tpm === 'none';
  if (!goes || confirmed) return ok(undefined);
  return ConfirmationNeeded.fail('The next start deletes the keys of the VM’s TPM for good; disks that are locked with them cannot be opened any more. Send forgetTpmKeys if that is meant.', { confirm: 'forgetTpmKeys' });
}
