// Whether a VM's console can be served here now. Pure.
import { NotFoundOnHost, StaleEpoch, WrongState } from '#contracts';
import type { HostVmStatus } from '#contracts';
import type { Result } from '#kernel';
import { ok } from '#kernel';

/** States in which its QEMU listens. */
const serving: readonly HostVmStatus['state'][] = ['running', 'paused', 'stopping'];

/** Undefined where the run of `epoch` is there to be shown, else why not. */
export function servesConsole({ vmId, state, epoch: now }: Pick<HostVmStatus, 'vmId' | 'state' | 'epoch'>, epoch: number): Result<undefined> {
  if (state === 'absent') return NotFoundOnHost.fail('The host does not know this VM.', { noun: 'vm', id: vmId });
  if (epoch !== now) return StaleEpoch.fail('The VM was started anew since then.', { seen: now, got: epoch });
  if (!serving.includes(state)) return WrongState.fail(`The VM is ${state} on its host.`, { state, allowed: [...serving] });
  return ok(undefined);
}

const ended: readonly HostVmStatus['state'][] = ['absent', 'defined', 'starting', 'stopped', 'failed'];

/** Whether the run of `epoch` is known to be over. A QEMU that does not answer at the moment may still show something. */
export const isOver = ({ state, epoch: now }: Pick<HostVmStatus, 'state' | 'epoch'>, epoch: number): boolean => epoch !== now || ended.includes(state);
