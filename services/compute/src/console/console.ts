// Which VM has a console to show: a decision over what is known of it. Nothing here reads or writes.
import { HostUnreachable, StaleEpoch, WrongState, type HostId, type VmState, type VmStatus } from '#contracts';
import { ok, type Result } from '#kernel';

/** How long a ticket is good, ms (security.md S12). */
export const ticketLifeMs = 30_000;

/** States in which a QEMU is there, whatever its guest does. */
export const shown: readonly VmState[] = ['running', 'pausing', 'paused', 'stopping', 'hibernating', 'migrating'];

/** The host that has the VM's console, or why there is none now. `epoch` = only of this run. */
export function consoleHost({ state, hostId, epoch: now }: Pick<VmStatus, 'state' | 'hostId' | 'epoch'>, hostResponds: boolean, epoch = now): Result<HostId> {
  if (state === 'unknown' || (hostId !== null && shown.includes(state) && !hostResponds)) {
    return HostUnreachable.fail('The host of the VM does not respond, so its console cannot be reached; wait until the host is back.', { hostId: hostId ?? '' });
  }
  if (hostId === null || !shown.includes(state)) return WrongState.fail(`The VM is ${state}; only one that runs has a console: start it first.`, { state, allowed: [...shown] });
  if (epoch !== now) return StaleEpoch.fail('The VM was started anew since then.', { seen: now, got: epoch });
  return ok(hostId);
}
