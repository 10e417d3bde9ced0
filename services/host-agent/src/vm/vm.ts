// One VM on this host: what it is, and what follows from each thing that happens to it. Pure: `step` decides, the actor
// journals the decision and then carries out its effects, whose outcomes come back as inputs.
//
//   absent ──define──► defined ──start──► starting ──launched──► running ◄──► paused
//                        ▲                   │                     │            │
//   stopped / failed ──start─────────────────┤ launch failed       └─────┬──────┘
//        ▲                                   ▼                stop, power-off, guest ended, gone
//        └───────────── released ◄──────── stopping ◄────────────────────┘
//
//   unknown: not looked at yet, or a process is there that does not answer. A look leads to any of the others.
//   Only `delete` leads back to absent. An epoch lower than seen is refused in every state.
import type { ExitReason, GuestWord, HostVmChange, HostVmSpec, HostVmState, HostVmStatus, SavedMemory, VmId, VolumePlace } from '#contracts';
import { NotFoundOnHost, QemuFailed, StaleEpoch, VmBusy, WrongState } from '#contracts';
import type { Fault } from '#kernel';
import type { z } from 'zod';

export type VmState = z.infer<typeof HostVmState>;
export type Exit = z.infer<typeof ExitReason>;
/** `startTicks` = field 22 of /proc/PID/stat: with the pid it names one process for as long as the machine runs. */
export interface VmProcess { readonly pid: number; readonly startTicks: number; readonly startedAt: string }
export type VmCommandName = 'vm.define' | 'vm.start' | 'vm.stop' | 'vm.power-off' | 'vm.delete' | 'vm.adjust' | Steering | 'vm.save';
/** Commands that change nothing about a VM but whether it goes on. */
export type Steering = 'vm.pause' | 'vm.resume' | 'vm.reset';
/** Memory to begin with, and what it was saved from. */
export interface Memory { readonly place: VolumePlace; readonly saved: SavedMemory }
/** A command that was accepted and is not yet answered. */
export interface OpenCommand { readonly commandId: string; readonly name: VmCommandName }

export interface Vm {
  readonly vmId: string;
  readonly state: VmState;
  /** The highest seen. */
  readonly epoch: number;
  readonly process: VmProcess | null;
  readonly exitReason: Exit | null;
  readonly detail: string | null;
  readonly open: readonly OpenCommand[];
  /** Counts beginnings, so that the outcome of an earlier one is recognised as late. */
  readonly attempt: number;
  /** Why the process is about to end, once that is decided. */
  readonly ending: Exit | null;
  /** What the open start will be answered when everything is released. */
  readonly failure: Fault | null;
  /** Nothing of its last run is left on the host: ports, TPM and group are gone. Not known any more after the agent's own start. */
  readonly released: boolean;
}

export type VmCommand =
  | { readonly type: 'vm.define'; readonly commandId: string; readonly epoch: number; readonly spec: HostVmSpec }
  | { readonly type: 'vm.start'; readonly commandId: string; readonly epoch: number; readonly spec: HostVmSpec; readonly paused: boolean; readonly memory: Memory | null }
  | { readonly type: 'vm.stop'; readonly commandId: string; readonly epoch: number; readonly graceMs: number; readonly by: Asking }
  | { readonly type: 'vm.save'; readonly commandId: string; readonly epoch: number; readonly place: VolumePlace }
  | { readonly type: 'vm.power-off' | 'vm.delete' | Steering; readonly commandId: string; readonly epoch: number }
  | { readonly type: 'vm.adjust'; readonly commandId: string; readonly epoch: number; readonly change: HostVmChange };

/** Who is asked to shut the guest down. */
export type Asking = 'agent' | 'acpi' | 'both';

/** What a look at the world has found. `silent` = a process is there and its monitor does not answer. */
export type Finding =
  | { readonly kind: 'none' }
  | { readonly kind: 'running' | 'paused'; readonly process: VmProcess; readonly detail: string | null }
  | { readonly kind: 'silent'; readonly process: VmProcess | null; readonly detail: string };

export type VmInput =
  | VmCommand
  | { readonly type: 'written'; readonly attempt: number; readonly fault: Fault | null }
  | { readonly type: 'launched'; readonly attempt: number; readonly process: VmProcess; readonly paused: boolean }
  | { readonly type: 'launch-failed'; readonly attempt: number; readonly fault: Fault }
  | { readonly type: 'paused'; readonly detail: string | null }
  | { readonly type: 'resumed' }
  /** The guest has come to an end and its QEMU waits to be ended. */
  | { readonly type: 'guest-ended'; readonly reason: Exit }
  /** The process is gone; `reason` counts where nobody had decided on the end. */
  | { readonly type: 'gone'; readonly reason: Exit; readonly detail: string | null }
  | { readonly type: 'grace-over'; readonly attempt: number }
  | { readonly type: 'released'; readonly problem: string | null }
  | { readonly type: 'forgotten'; readonly fault: Fault | null }
  | { readonly type: 'adjusted'; readonly of: string; readonly fault: Fault | null; readonly guest: GuestWord }
  | { readonly type: 'steered'; readonly of: string; readonly fault: Fault | null }
  | { readonly type: 'saved'; readonly of: string; readonly fault: Fault | null }
  /** After a crash: `done` and `dropped` are the open commands whose effect happened, and did not. */
  | { readonly type: 'looked'; readonly finding: Finding; readonly done: readonly string[]; readonly dropped: readonly string[] };

export type VmEffect =
  | { readonly do: 'write'; readonly spec: HostVmSpec; readonly epoch: number; readonly attempt: number }
  | { readonly do: 'launch'; readonly spec: HostVmSpec; readonly epoch: number; readonly paused: boolean; readonly memory: Memory | null; readonly attempt: number }
  | { readonly do: 'ask-shutdown'; readonly graceMs: number; readonly by: Asking; readonly attempt: number }
  | { readonly do: 'steer'; readonly commandId: string; readonly how: Steering }
  | { readonly do: 'save'; readonly commandId: string; readonly place: VolumePlace }
  | { readonly do: 'end'; readonly gently: boolean }
  | { readonly do: 'release' }
  | { readonly do: 'forget'; readonly commandId: string; readonly epoch: number }
  | { readonly do: 'adjust'; readonly commandId: string; readonly change: HostVmChange }
  | { readonly do: 'answer'; readonly command: OpenCommand; readonly fault: Fault | null; readonly guest?: GuestWord }
  | { readonly do: 'drop'; readonly command: OpenCommand };

export type Step =
  | { readonly kind: 'moved'; readonly vm: Vm; readonly effects: readonly VmEffect[] }
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'denied'; readonly fault: Fault };

export const absentVm = (vmId: string): Vm => ({
  vmId, state: 'absent', epoch: 0, process: null, exitReason: null, detail: null, open: [], attempt: 0, ending: null, failure: null, released: false,
});

/** `go` = carry out, `already` = answer the status, `busy` = later, `wrong` = not from here, `missing` = no such VM here. */
type Rule = 'go' | 'already' | 'busy' | 'wrong' | 'missing';
const rules: Readonly<Record<VmCommandName, Readonly<Record<VmState, Rule>>>> = {
  'vm.define': { absent: 'go', defined: 'go', stopped: 'go', failed: 'go', starting: 'busy', stopping: 'busy', running: 'wrong', paused: 'wrong', unknown: 'busy' },
  'vm.start': { absent: 'go', defined: 'go', stopped: 'go', failed: 'go', starting: 'busy', stopping: 'busy', running: 'already', paused: 'already', unknown: 'busy' },
  'vm.stop': { absent: 'missing', defined: 'already', stopped: 'already', failed: 'already', starting: 'busy', stopping: 'busy', running: 'go', paused: 'go', unknown: 'busy' },
  'vm.power-off': { absent: 'already', defined: 'already', stopped: 'already', failed: 'already', starting: 'go', stopping: 'go', running: 'go', paused: 'go', unknown: 'go' },
  'vm.delete': { absent: 'go', defined: 'go', stopped: 'go', failed: 'go', starting: 'busy', stopping: 'busy', running: 'wrong', paused: 'wrong', unknown: 'busy' },
  'vm.pause': { absent: 'missing', defined: 'wrong', stopped: 'wrong', failed: 'wrong', starting: 'busy', stopping: 'busy', running: 'go', paused: 'already', unknown: 'busy' },
  'vm.resume': { absent: 'missing', defined: 'wrong', stopped: 'wrong', failed: 'wrong', starting: 'busy', stopping: 'busy', running: 'already', paused: 'go', unknown: 'busy' },
  'vm.reset': { absent: 'missing', defined: 'wrong', stopped: 'wrong', failed: 'wrong', starting: 'busy', stopping: 'busy', running: 'go', paused: 'go', unknown: 'busy' },
  // From paused too: an agent that died while saving has left it so.
  'vm.save': { absent: 'missing', defined: 'wrong', stopped: 'wrong', failed: 'wrong', starting: 'busy', stopping: 'busy', running: 'go', paused: 'go', unknown: 'busy' },
  'vm.adjust': { absent: 'missing', defined: 'wrong', stopped: 'wrong', failed: 'wrong', starting: 'busy', stopping: 'busy', running: 'go', paused: 'go', unknown: 'busy' },
};

/** How a VM rests after its process has ended for a reason. */
const restAfter: Readonly<Record<Exit, VmState>> = {
  'guest-shutdown': 'stopped', 'guest-reset': 'stopped', requested: 'stopped', saved: 'stopped',
  'guest-panic': 'failed', killed: 'failed', 'qemu-crashed': 'failed', 'start-failed': 'failed', watchdog: 'failed',
};

const unchanged: Step = { kind: 'unchanged' };
const moved = (vm: Vm, ...effects: VmEffect[]): Step => ({ kind: 'moved', vm, effects });
const denied = (fault: Fault): Step => ({ kind: 'denied', fault });
const answer = (command: OpenCommand, fault: Fault | null = null): VmEffect => ({ do: 'answer', command, fault });

export function step(vm: Vm, input: VmInput): Step {
  switch (input.type) {
    case 'vm.define': case 'vm.start': case 'vm.stop': case 'vm.power-off': case 'vm.delete': case 'vm.adjust':
    case 'vm.pause': case 'vm.resume': case 'vm.reset': case 'vm.save': return onCommand(vm, input);
    case 'written': return onWritten(vm, input);
    case 'launched': return onLaunched(vm, input);
    case 'launch-failed': return vm.state === 'starting' && input.attempt === vm.attempt ? moved({ ...vm, ending: 'start-failed', failure: input.fault, process: null }, { do: 'release' }) : unchanged;
    case 'paused': return vm.state === 'running' ? moved({ ...vm, state: 'paused', detail: input.detail }) : unchanged;
    case 'resumed': return vm.state === 'paused' ? moved({ ...vm, state: 'running', detail: null }) : unchanged;
    case 'guest-ended': return onGuestEnded(vm, input.reason);
    case 'gone': return onGone(vm, input.reason, input.detail);
    case 'grace-over': return onGraceOver(vm, input.attempt);
    case 'released': return onReleased(vm, input.problem);
    case 'forgotten': return onForgotten(vm, input.fault);
    case 'adjusted': return onAdjusted(vm, input);
    case 'steered': return onSteered(vm, input);
    case 'saved': return onSaved(vm, input);
    case 'looked': return onLooked(vm, input);
  }
}

function onCommand(vm: Vm, command: VmCommand): Step {
  if (command.epoch < vm.epoch) return denied(StaleEpoch.fault(`The command carries epoch ${command.epoch}; the host has seen ${vm.epoch}.`, { seen: vm.epoch, got: command.epoch }));
  const rule = ruleFor(vm, command);
  if (rule === 'missing') return denied(NotFoundOnHost.fault('The host does not know this VM.', { noun: 'vm', id: vm.vmId }));
  if (rule === 'busy') return denied(VmBusy.fault(`The VM is ${vm.state}${vm.open[0] ? ` (${vm.open[0].name})` : ''}; try again.`, { noun: 'vm', id: vm.vmId, state: vm.state }));
  if (rule === 'wrong') return denied(WrongState.fault(`The VM is ${vm.state}.`, { state: vm.state, allowed: allowedFrom(command.type) }));
  const open: OpenCommand = { commandId: command.commandId, name: command.type };
  const next: Vm = { ...vm, epoch: command.epoch, open: [...vm.open, open] };
  if (rule === 'already') return moved({ ...next, open: vm.open }, answer(open));
  return begin(next, command);
}

function ruleFor(vm: Vm, command: VmCommand): Rule {
  const rule = rules[command.type][vm.state];
  // A look that found no pid leaves nothing that could be ended.
  if (command.type === 'vm.power-off') return vm.state === 'unknown' && vm.process === null ? 'busy' : rule;
  // A new epoch is the right to a new run; the run that is here belongs to the old one.
  if ((rule === 'already' && command.type === 'vm.start' || ofThisRun.has(command.type)) && command.epoch > vm.epoch && (rule === 'go' || rule === 'already')) return 'wrong';
  return vm.open.length > 0 && rule !== 'missing' ? 'busy' : rule;
}

/** Commands to the run that is here: a newer epoch means another one. */
const ofThisRun: ReadonlySet<VmCommandName> = new Set<VmCommandName>(['vm.adjust', 'vm.pause', 'vm.resume', 'vm.reset', 'vm.save']);

const allowedFrom = (name: VmCommandName): VmState[] =>
  (Object.entries(rules[name]) as [VmState, Rule][]).filter(([, rule]) => rule === 'go' || rule === 'already').map(([state]) => state);

function begin(vm: Vm, command: VmCommand): Step {
  const { epoch, commandId } = command;
  const attempt = vm.attempt + 1;
  switch (command.type) {
    case 'vm.define':
      return moved({ ...vm, attempt, detail: null }, { do: 'write', spec: command.spec, epoch, attempt });
    case 'vm.start':
      return moved(
        { ...vm, attempt, state: 'starting', exitReason: null, detail: null, ending: null, failure: null, released: false },
        { do: 'launch', spec: command.spec, epoch, paused: command.paused, memory: command.memory, attempt },
      );
    case 'vm.stop':
      return moved({ ...vm, attempt, state: 'stopping' }, { do: 'ask-shutdown', graceMs: command.graceMs, by: command.by, attempt });
    case 'vm.power-off':
      return moved({ ...vm, attempt, state: 'stopping', ending: 'requested' }, { do: 'end', gently: false });
    case 'vm.pause': case 'vm.resume': case 'vm.reset':
      return moved(vm, { do: 'steer', commandId, how: command.type });
    case 'vm.save':
      return moved(vm, { do: 'save', commandId, place: command.place });
    case 'vm.adjust':
      return moved(vm, { do: 'adjust', commandId, change: command.change });
    case 'vm.delete':
      return vm.state === 'absent' || vm.released ? moved({ ...vm, attempt }, { do: 'forget', commandId, epoch }) : moved({ ...vm, attempt }, { do: 'release' });
  }
}

function onWritten(vm: Vm, { attempt, fault }: { attempt: number; fault: Fault | null }): Step {
  const command = vm.open.find(({ name }) => name === 'vm.define');
  if (!command || attempt !== vm.attempt) return unchanged;
  const state = vm.state === 'absent' && fault === null ? 'defined' : vm.state;
  return moved({ ...without(vm, command), state }, answer(command, fault));
}

function onLaunched(vm: Vm, { attempt, process, paused }: { attempt: number; process: VmProcess; paused: boolean }): Step {
  if (vm.state !== 'starting' || attempt !== vm.attempt) return unchanged;
  return moved({ ...vm, state: paused ? 'paused' : 'running', process, open: [] }, ...vm.open.map((command) => answer(command)));
}

function onGuestEnded(vm: Vm, reason: Exit): Step {
  if (!['starting', 'running', 'paused', 'stopping'].includes(vm.state) || vm.ending !== null) return unchanged;
  const asked = reason === 'guest-shutdown' && vm.open.some(({ name }) => name === 'vm.stop');
  return moved({ ...vm, state: 'stopping', ending: asked ? 'requested' : reason }, { do: 'end', gently: true });
}

function onGone(vm: Vm, reason: Exit, detail: string | null): Step {
  if (!['running', 'paused', 'stopping', 'unknown'].includes(vm.state)) return unchanged;
  return moved({ ...vm, state: 'stopping', process: null, ending: vm.ending ?? reason, detail: vm.ending === null ? detail : vm.detail }, { do: 'release' });
}

function onGraceOver(vm: Vm, attempt: number): Step {
  const command = vm.open.find(({ name }) => name === 'vm.stop');
  if (!command || vm.state !== 'stopping' || vm.ending !== null || attempt !== vm.attempt) return unchanged;
  return moved({ ...without(vm, command), state: 'running' }, answer(command));
}

function onReleased(vm: Vm, problem: string | null): Step {
  const deleting = vm.open.find(({ name }) => name === 'vm.delete');
  // A process that a look found meanwhile keeps its VM: nothing is forgotten while it is there.
  if (deleting && vm.process === null) return problem === null ? moved(vm, { do: 'forget', commandId: deleting.commandId, epoch: vm.epoch }) : moved({ ...without(vm, deleting), detail: problem }, answer(deleting, busyFault(vm, problem)));
  if (vm.ending === null || vm.process !== null || !['starting', 'stopping'].includes(vm.state)) return unchanged;
  const detail = vm.failure?.detail ?? problem ?? vm.detail;
  const rested: Vm = { ...vm, state: restAfter[vm.ending], exitReason: vm.ending, ending: null, failure: null, detail, open: [], released: problem === null };
  return moved(rested, ...vm.open.map((command) => answer(command, faultAtEnd(vm, command, rested))));
}

const busyFault = (vm: Vm, problem: string): Fault => VmBusy.fault(`The VM’s ports cannot be removed: ${problem}`, { noun: 'vm', id: vm.vmId, state: vm.state });
/** What a command is told that was open when the VM came to rest: only a start and commands to the run had wanted something else. */
function faultAtEnd(vm: Vm, { name }: OpenCommand, rested: Vm): Fault | null {
  if (name === 'vm.start') return vm.failure ?? endedEarly(vm.ending);
  // The guest may have gone on before it ended: only a refusal may say that it has not.
  if (name === 'vm.resume') return null;
  if (!ofThisRun.has(name) || (name === 'vm.save' && rested.exitReason === 'saved')) return null;
  return WrongState.fault('The VM ended before the command was complete.', { state: rested.state, allowed: ['running'] });
}
const endedEarly = (reason: Exit | null): Fault => QemuFailed.fault('The VM ended before its start was complete.', { reason: reason ?? 'start-failed' });

function onForgotten(vm: Vm, fault: Fault | null): Step {
  const command = vm.open.find(({ name }) => name === 'vm.delete');
  if (!command) return unchanged;
  if (fault) return moved(without(vm, command), answer(command, fault));
  // A power-off that came meanwhile has what it asked for.
  return moved({ ...absentVm(vm.vmId), epoch: vm.epoch, attempt: vm.attempt }, ...vm.open.map((one) => answer(one)));
}

/** One that came to rest meanwhile has been answered. */
function onAdjusted(vm: Vm, { of, fault, guest }: { of: string; fault: Fault | null; guest: GuestWord }): Step {
  const command = vm.open.find(({ commandId }) => commandId === of);
  // A power-off has been taken meanwhile: its end answers both.
  if (!command || !['running', 'paused', 'unknown'].includes(vm.state)) return unchanged;
  return moved(without(vm, command), { do: 'answer', command, fault, guest });
}

/** QEMU's own events may have told it already. */
function onSteered(vm: Vm, { of, fault }: { of: string; fault: Fault | null }): Step {
  const command = vm.open.find(({ commandId }) => commandId === of);
  if (!command || (vm.state !== 'running' && vm.state !== 'paused')) return unchanged;
  const state = fault === null ? stateAfter[command.name] ?? vm.state : vm.state;
  return moved({ ...without(vm, command), state, detail: state === vm.state ? vm.detail : null }, answer(command, fault));
}

const stateAfter: Partial<Readonly<Record<VmCommandName, VmState>>> = { 'vm.pause': 'paused', 'vm.resume': 'running' };

/** Saved memory is of use only if the guest does not go on: QEMU ends, and the command is answered when it is gone. */
function onSaved(vm: Vm, { of, fault }: { of: string; fault: Fault | null }): Step {
  const command = vm.open.find(({ commandId }) => commandId === of);
  if (!command || (vm.state !== 'running' && vm.state !== 'paused')) return unchanged;
  if (fault) return moved(without(vm, command), answer(command, fault));
  return moved({ ...vm, attempt: vm.attempt + 1, state: 'stopping', ending: 'saved' }, { do: 'end', gently: true });
}

function onLooked(vm: Vm, { finding, done, dropped }: { finding: Finding; done: readonly string[]; dropped: readonly string[] }): Step {
  if (finding.kind === 'silent') return moved({ ...vm, state: 'unknown', process: finding.process ?? vm.process, detail: finding.detail });
  const settled = new Set([...done, ...dropped]);
  const effects = vm.open.flatMap((command): VmEffect[] => {
    if (done.includes(command.commandId)) return [answer(command)];
    return dropped.includes(command.commandId) ? [{ do: 'drop', command }] : [];
  });
  // A document that is there and was not yet told: its VM is.
  const defined = vm.state === 'absent' && vm.open.some(({ name, commandId }) => name === 'vm.define' && done.includes(commandId));
  const left: Vm = { ...vm, state: defined ? 'defined' : vm.state, open: vm.open.filter(({ commandId }) => !settled.has(commandId)) };
  if (finding.kind !== 'none') return moved({ ...left, state: finding.kind, process: finding.process, detail: finding.detail, exitReason: null, ending: null, failure: null, released: false }, ...effects);
  const atRest = ['absent', 'defined', 'stopped', 'failed'].includes(vm.state);
  if (atRest) return moved(left, ...effects);
  // It ran when the journal was last written: nobody saw how it ended unless that was decided before.
  const wasRunning = vm.process !== null || vm.state !== 'starting';
  const reason = vm.ending ?? (wasRunning ? 'qemu-crashed' : null);
  const detail = vm.ending === null ? (wasRunning ? 'QEMU ended while the agent was away.' : 'The agent ended before QEMU was started.') : vm.detail;
  return moved({ ...left, state: reason === null ? 'stopped' : restAfter[reason], process: null, exitReason: reason, detail, ending: null, failure: null }, { do: 'release' }, ...effects);
}

const without = (vm: Vm, command: OpenCommand): Vm => ({ ...vm, open: vm.open.filter(({ commandId }) => commandId !== command.commandId) });

/** What is told about a VM; what its guest says is added by the actor. */
export function statusOf(vm: Vm, guest: Pick<HostVmStatus, 'guestAgent' | 'guestAddresses' | 'memory'>, saved: SavedMemory | null): HostVmStatus {
  return {
    vmId: vm.vmId as VmId, state: vm.state, epoch: vm.epoch,
    pid: vm.process?.pid ?? null, startedAt: vm.process?.startedAt ?? null, exitReason: vm.exitReason, detail: vm.detail,
    saved: vm.exitReason === 'saved' ? saved : null,
    ...(vm.process === null ? { guestAgent: false, guestAddresses: [], memory: null } : guest),
  };
}
