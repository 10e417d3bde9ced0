// Claims against the VMs that compute says there are: whether that is a difference, and which. Pure.
import type { Difference, StandingVm } from '#contracts';

export interface HeldClaim {
  readonly id: string;
  readonly vmId: string;
  readonly hostId: string;
}

/** States in which nothing runs, and none in between. */
const off: readonly StandingVm['state'][] = ['stopped', 'failed', 'hibernated'];
const on: readonly StandingVm['state'][] = ['running', 'paused'];

/** A VM that a task works on says nothing; nor does one whose capacity compute is about to give back itself. */
export function judgeClaims(claims: readonly HeldClaim[], vms: readonly StandingVm[]): Difference[] {
  const byVm = new Map<string, StandingVm>(vms.map((vm) => [vm.vmId, vm]));
  const held = new Set(claims.map(({ vmId }) => vmId));
  return [
    ...claims.flatMap(({ id, vmId, hostId }): Difference[] => {
      const vm = byVm.get(vmId);
      if (vm !== undefined && (vm.taskId !== null || vm.claimHeld || !off.includes(vm.state))) return [];
      const why = vm === undefined ? 'which is gone' : `which is ${vm.state}`;
      return [{ kind: 'claim-stray', objectId: id, objectName: vm?.name ?? null, hostId, text: `capacity is held for the VM ${vmId}, ${why}`, evidence: { vmId, vm: vm === undefined ? null : { state: vm.state, version: vm.version } } }];
    }),
    ...vms.flatMap((vm): Difference[] => (held.has(vm.vmId) || vm.hostId === null || vm.taskId !== null || !on.includes(vm.state) ? [] : [{
      kind: 'claim-missing', objectId: vm.vmId, objectName: vm.name, hostId: vm.hostId, text: `${vm.name} is ${vm.state}, and no capacity is held for it`, evidence: { vmId: vm.vmId, version: vm.version },
    }])),
  ];
}
