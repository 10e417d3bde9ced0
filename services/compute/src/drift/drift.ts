// What a host says of a process or a VM, against what the pool has written down: whether that is a difference, and which. Pure.
import type { Difference, HostVmStatus, ReplyOf, VmState, hostStatus } from '#contracts';

/** What the pool's row says. */
export interface Placed {
  readonly name: string;
  readonly hostId: string | null;
  /** A tombstone. */
  readonly gone: boolean;
  readonly taskId: string | null;
}

type Stranger = ReplyOf<typeof hostStatus>['unmanaged'][number];

export const isPlaced = (hostId: string, row: Placed | undefined): boolean => row !== undefined && !row.gone && row.hostId === hostId;

/** A process of an agent that does not say when it began cannot be named for sure, so it is not taken up. */
export function judgeStranger({ pid, startTicks, uuid, name, commandLine }: Stranger, rows: ReadonlyMap<string, Placed>): Difference | null {
  if (startTicks === undefined) return null;
  const row = uuid === null ? undefined : rows.get(uuid);
  const carries = row === undefined ? '' : `; it carries the id of the VM ${row.name}, which it is not`;
  return {
    kind: 'qemu-unknown', objectId: `${pid}/${startTicks}`, objectName: name, text: `QEMU with pid ${pid}${name === null ? '' : ` (${name})`} is nobody’s${carries}`,
    evidence: { pid, startTicks, uuid, name, commandLine }, touches: uuid === null ? [] : [uuid],
  };
}

const atRest: readonly HostVmStatus['state'][] = ['defined', 'stopped', 'failed'];
/** What is on its way says nothing: the next look sees where it has come to. */
const onItsWay: readonly HostVmStatus['state'][] = ['starting', 'stopping', 'unknown', 'absent'];

/** A directory at rest of a VM that the pool has had is removed elsewhere (host.reports): only what was never had is a difference. */
export function judgeVm(hostId: string, { vmId, state, epoch, pid }: HostVmStatus, row: Placed | undefined): Difference | null {
  if (isPlaced(hostId, row) || onItsWay.includes(state) || (row !== undefined && row.taskId !== null)) return null;
  const resting = atRest.includes(state);
  if (resting && row !== undefined) return null;
  const why = row === undefined ? 'the pool has never had it' : row.gone ? 'it was deleted' : `the pool has it on ${row.hostId === null ? 'no host' : 'another host'}`;
  return {
    kind: resting ? 'vm-unknown' : 'vm-elsewhere', objectId: vmId, objectName: row?.name ?? null, text: resting ? `the directory of a VM that the pool has never had` : `the VM is ${state} here, and ${why}`,
    evidence: { vmId, epoch, state, pid, row: row === undefined ? null : { hostId: row.hostId, gone: row.gone } }, touches: [vmId],
  };
}

/** Where nobody can say what the task came to, the host is asked; without a host nothing can run. */
export const stateWithoutTask = (state: VmState, hostId: string | null): VmState => {
  if (settled.includes(state)) return state;
  return hostId === null ? 'failed' : 'unknown';
};
const settled: readonly VmState[] = ['stopped', 'running', 'paused', 'hibernated', 'failed', 'unknown'];
