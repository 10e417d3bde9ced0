// When a VM's TPM has keys that a change would delete. Pure.
import { ConfirmationNeeded, type Vm } from '#contracts';
import { ok, type Result } from '#kernel';
import { effectiveSpec } from './pending.ts';

/** Taking away a TPM that has keys has to be confirmed: what they protect cannot be read without them. */
export function refuseLoss(vm: Vm, next: Pick<Vm, 'spec' | 'pending'>, confirmed: boolean): Result<undefined> {
  const goes = vm.status.tpm !== null && effectiveSpec(vm).tpm !== 'none' && effectiveSpec(next).tpm === 'none';
  if (!goes || confirmed) return ok(undefined);
  return ConfirmationNeeded.fail('The next start deletes the keys of the VM’s TPM for good; disks that are locked with them cannot be opened any more. Send forgetTpmKeys if that is meant.', { confirm: 'forgetTpmKeys' });
}
