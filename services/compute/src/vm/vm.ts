// The VM's life as decisions without effects: which operation is allowed in which state, and what a host's report
// means. Nothing here waits, reads or writes.
//
//   creating ──► stopped ──► starting ──► running ──► stopping ──► stopped ──► deleting ──► (tombstone)
//                   ▲                        │  ▲                     ▲
//                   └── guest shut down ─────┘  └─ host responds ──► unknown ◄── host does not respond
//   running ──► pausing ──► paused ──► running;  running ──► hibernating ──► hibernated ──► starting ──► running
//   failed: QEMU ended as nobody asked, and its host says so; it can be started again or deleted.
import {
  HostUnreachable, VmBusy, WrongState,
  type CreateVm, type HostVmStatus, type VmSpec, type VmState,
} from '#contracts';
import { ok, type Result } from '#kernel';
import type { z } from 'zod';

/** What the decisions look at. */
export interface VmView {
  readonly id: string;
  readonly state: VmState;
  readonly taskId: string | null;
  readonly hostId: string | null;
}

export type VmOperation = 'start' | 'stop' | 'power-off' | 'reboot' | 'delete' | 'delete-forced' | 'modify' | 'pause' | 'resume' | 'reset' | 'hibernate';

/** Nothing of the VM runs in these, so it needs no capacity. */
export const idleStates: readonly VmState[] = ['stopped', 'failed', 'hibernated'];

/** Where each operation may begin, and the state it leads through. */
export const allowedFrom: Readonly<Record<VmOperation, { from: readonly VmState[]; via: VmState }>> = {
  start: { from: idleStates, via: 'starting' },
  stop: { from: ['running', 'paused'], via: 'stopping' },
  'power-off': { from: ['running', 'paused', 'failed'], via: 'stopping' },
  reboot: { from: ['running', 'paused'], via: 'stopping' },
  // Leads nowhere: the VM stays what it is (hardware.ts).
  modify: { from: ['stopped', 'failed', 'running'], via: 'running' },
  pause: { from: ['running'], via: 'pausing' },
  resume: { from: ['paused'], via: 'paused' },
  reset: { from: ['running', 'paused'], via: 'running' },
  hibernate: { from: ['running'], via: 'hibernating' },
  delete: { from: idleStates, via: 'deleting' },
  'delete-forced': { from: [...idleStates, 'running', 'paused'], via: 'deleting' },
};

/** States in which QEMU may hold the VM's disks on its host. */
export const holdsHost: readonly VmState[] = ['starting', 'running', 'pausing', 'paused', 'stopping', 'hibernating', 'migrating', 'unknown', 'failed'];

/** Whether the operation may begin now; answers the state that the VM goes through. */
export function begin(vm: VmView, operation: VmOperation, hostResponds: boolean): Result<VmState> {
  const { from, via } = allowedFrom[operation];
  if (vm.taskId !== null) return VmBusy.fail('A task works on the VM.', { noun: 'vm', id: vm.id, taskId: vm.taskId, state: vm.state });
  const mayRunOnHost = vm.hostId !== null && holdsHost.includes(vm.state);
  if (vm.state === 'unknown' || (mayRunOnHost && !hostResponds)) {
    return HostUnreachable.fail(
      'The host of the VM does not respond, so nobody knows whether it still runs; wait until the host is back.', { hostId: vm.hostId ?? '' },
    );
  }
  if (!from.includes(vm.state)) return WrongState.fail(`The VM is ${vm.state}; this needs ${from.join(' or ')}.`, { state: vm.state, allowed: [...from] });
  return ok(via);
}

const observed: Readonly<Record<HostVmStatus['state'], VmState>> = {
  defined: 'stopped', stopped: 'stopped', absent: 'stopped', starting: 'starting', running: 'running',
  paused: 'paused', stopping: 'stopping', failed: 'failed', unknown: 'unknown',
};

/** The state a VM is in when no task works on it and its host has said this. */
export const stateFromHost = (state: HostVmStatus['state']): VmState => observed[state];

export interface Seen { readonly epoch: number; readonly seq: number }
/** A report is news if it is of the VM's present epoch or a later one, and within one epoch has a higher number. */
export const isNews = (known: Seen, report: Seen): boolean =>
  report.epoch > known.epoch || (report.epoch === known.epoch && report.seq > known.seq);

/** Why a VM that nobody asked to stop is stopped. */
export function reasonOf(status: Pick<HostVmStatus, 'exitReason' | 'detail'>): string | null {
  if (status.exitReason === null || status.exitReason === 'requested') return null;
  return status.detail === null ? status.exitReason : `${status.exitReason}: ${status.detail}`;
}

/** The parts of a spec that the request decides; disks and NICs are filled in by the task that makes them. */
export function firstSpec(input: z.output<typeof CreateVm>, template: { hardware: Pick<VmSpec, 'cpu' | 'memoryBytes' | 'firmware' | 'bootOrder' | 'tpm'> } | null): VmSpec {
  return {
    cpu: input.cpu ?? template?.hardware.cpu ?? { sockets: 1, cores: 1, threads: 1 },
    cpuService: input.cpuService,
    memoryBytes: input.memoryBytes ?? template?.hardware.memoryBytes ?? 512 * 1024 * 1024,
    memoryService: input.memoryService,
    firmware: input.firmware ?? template?.hardware.firmware ?? 'bios',
    bootOrder: input.bootOrder ?? template?.hardware.bootOrder ?? ['disk'],
    clock: input.clock,
    tpm: input.tpm ?? template?.hardware.tpm ?? 'none',
    disks: [],
    nics: [],
    ha: input.ha,
  };
}

/** A TPM that no firmware would talk to is no TPM. */
export const tpmIssues = ({ tpm, firmware }: Pick<VmSpec, 'tpm' | 'firmware'>): { path: string; message: string }[] =>
  (tpm !== 'none' && firmware === 'bios' ? [{ path: 'tpm', message: 'needs the firmware uefi or uefi-secure' }] : []);

/** What a volume of the VM's is called. Cut by characters, never in the middle of one. */
export const volumeName = (vmName: string, what: string): string => `${Array.from(vmName).slice(0, 25).join('').trimEnd()} ${what}`;

export const vcpusOf = (cpu: VmSpec['cpu']): number => cpu.sockets * cpu.cores * cpu.threads;

/** What is known of a VM when its task ends without knowing it itself. */
export interface LastHeard {
  readonly hostState: HostVmStatus['state'] | null;
  readonly hostId: string | null;
  readonly epoch: number;
  readonly hostResponds: boolean;
}

/** The state that a VM is in as far as its host has said; nothing heard of a VM that may run means that nobody knows. */
export function stateAsHostSays(heard: LastHeard): VmState {
  const neverRan = heard.hostId === null || heard.epoch === 0;
  if (heard.hostState === null) return neverRan ? 'stopped' : 'unknown';
  const state = stateFromHost(heard.hostState);
  return holdsHost.includes(state) && !heard.hostResponds ? 'unknown' : state;
}

/** A start has succeeded, and perhaps QEMU has ended since: its host has said so of this very run. */
export const stateAfterStart = (hostState: HostVmStatus['state'] | null): VmState =>
  (hostState === 'stopped' || hostState === 'failed' || hostState === 'paused' ? stateFromHost(hostState) : 'running');
