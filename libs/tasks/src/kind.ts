// What a kind of task is: a table of steps that a person can read down. The engine keeps it going through crashes: every
// step's output is recorded before the next step starts, and each `run` and `undo` may therefore happen more than once.
import type { EntityManager } from 'typeorm';
import type { Actor, HostOperation, Operation, ReplyOf, RequestOf, TaskState } from '#contracts';
import type { Failed, Fault, Result } from '#kernel';
import type { Slot } from './slot.ts';

/** `{ …, noun }` of the object that a lock keeps for one root task. */
export interface ObjectRef {
  readonly noun: string;
  readonly id: string;
}

/** The task as its steps see it. */
export interface TaskInfo {
  readonly id: string;
  readonly kind: string;
  readonly objectId: string;
  readonly objectName: string | null;
  readonly rootTaskId: string;
  readonly parentTaskId: string | null;
  /** Who asked for it; null when a service did (also every child task). */
  readonly actor: Pick<Actor, 'userId' | 'handle'> | null;
  readonly ownerId: string | null;
  readonly traceId: string | null;
}

export interface Progress {
  readonly done: number;
  readonly total: number;
  readonly unit: 'bytes' | 'steps';
}

/** What a parked task waits for, as its user reads it. */
export interface Blocker {
  readonly what: string;
  readonly holder?: string;
  readonly position?: number;
  /** When to look again, ms; somebody who knows earlier calls `engine.wake`. */
  readonly lookAgainMs?: number;
}

/** The end of a child task that succeeded; `output` is its last step's. */
export interface ChildResult {
  readonly taskId: string;
  readonly objectId: string;
  readonly output: unknown;
}

export interface CallPart {
  /** Tells apart several calls to one receiver in one step; becomes part of the key. `[a-z0-9.-]{1,40}` */
  readonly part?: string;
  /** What the task says it waits for while the receiver is at work. */
  readonly waitsFor?: string;
}

/** A host command's input without the command id, which the engine adds. */
export type HostInput<O extends HostOperation> = WithoutCommandId<RequestOf<O>>;
type WithoutCommandId<T> = T extends unknown ? Omit<T, 'commandId'> : never;

export interface TaskLog {
  debug(fields: object, text: string): void;
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
}

/**
 * What a step works with. `child`, `host`, `request` and `waitFor` may end this run of the step (the task parks without
 * claim or worker, and `run` starts again from its top when there is news), so what stands before them must be
 * repeatable. Do not catch what is not a FaultError around them.
 */
export interface StepContext<I> {
  readonly task: TaskInfo;
  readonly input: I;
  /** How often this step has been begun in this direction, from 1. */
  readonly attempt: number;
  /** What a step recorded. In `run`: throws for a step that has not been done. In `undo`: undefined then. */
  output<T>(step: string): T;
  /** `<taskId>/<seq>`, in an undo `<taskId>/<seq>/undo`: the same on every repetition. */
  readonly commandId: string;
  /** The command id that this step's `run` used (with that `part`); for an undo that has to cancel it. */
  runCommandId(part?: string): string;
  /** A transaction that commits only while this worker still holds the task. */
  tx<T>(work: (tx: EntityManager) => Promise<T>): Promise<T>;
  /** Remembered and shown at most twice a second. */
  progress(progress: Progress): void;
  /** Says in the plan of a dry run what was decided; nothing otherwise. */
  decided(text: string, details?: Readonly<Record<string, unknown>>): void;
  /** Parks; the step runs again when the task is woken or after `lookAgainMs`. */
  waitFor(blocker: Blocker): never;
  /** Starts another service's task under this one and parks until it has ended. Throws its fault when it failed. */
  child<O extends Operation>(operation: O, input: RequestOf<O>, options?: CallPart): Promise<ChildResult>;
  /** Several children at once; parks until all have ended. Throws the first fault. `part` must differ. */
  children(calls: readonly ChildCall[]): Promise<ChildResult[]>;
  /** A command to a host, sent until the host says what became of it. Throws its refusal. */
  host<O extends HostOperation>(hostId: string, operation: O, input: HostInput<O>, options?: CallPart): Promise<ReplyOf<O>>;
  /** A synchronous request to another service, on this service's behalf, with a key of this step. Throws its refusal. */
  request<O extends Operation>(operation: O, input: RequestOf<O>, options?: CallPart): Promise<ReplyOf<O>>;
  /** Aborts on cancel, on loss of the claim and when the service stops. */
  readonly signal: AbortSignal;
  readonly log: TaskLog;
}

export interface ChildCall {
  readonly operation: Operation;
  readonly input: unknown;
  readonly part: string;
}

export interface Step<I> {
  readonly name: string;
  /**
   * Does the work and answers what later steps and the undo need (JSON). `failed(fault)` or a thrown FaultError undoes
   * the task; faults that pass by themselves are tried again first; any other throw is a bug, tried again a few times.
   * What has an effect outside goes through `ctx` (the first step of a kind may do without): the step is put on record, with
   * the end of those before it, at the first such call, and in the transaction of a `ctx.tx`. Questions leave no record.
   */
  run(ctx: StepContext<I>): Promise<unknown>;
  /**
   * Takes back what `run` may have done. Called for every step that was begun, also when `run` died half-way or never got
   * to its effect, and perhaps twice. Children of `run` have ended (cancelled where possible) before.
   */
  undo?(ctx: StepContext<I>): Promise<unknown>;
  /**
   * What it takes while it works, of things that only so many may work at: it parks until its turn comes. Held until the
   * step is done or its task turns back.
   */
  slots?(ctx: Pick<StepContext<I>, 'task' | 'input' | 'output'>): readonly Slot[];
  /** From the beginning of this step on the task can only go forward: no cancel, no undo. */
  readonly noReturn?: true;
  /** With `noReturn`: whether a fault says that the step has had no effect, so that the task may turn back after all. */
  turnsBackOn?(fault: Fault): boolean;
  /**
   * A dry run may call `run` to see what it finds: all that it does goes through `ctx`. Questions are asked then, commands
   * only of those who explain them, and what can be known only when it is done ends the look.
   */
  readonly foreseeable?: true;
  /** The part of `run` that a dry run may call, where not all of it; undefined = nothing can be said before it is done. */
  foresee?(ctx: StepContext<I>): Promise<unknown>;
  /** How long faults that pass by themselves are tried again, ms; default of the engine: ten minutes. */
  readonly retryForMs?: number;
  /** Why the step stands where it stands. */
  readonly why?: string;
}

export interface TaskOutcome<I> {
  readonly state: Extract<TaskState, 'succeeded' | 'failed' | 'cancelled' | 'needs-attention'>;
  readonly task: TaskInfo;
  readonly input: I;
  readonly error: Fault | null;
  /** What a step recorded, or undefined. */
  output<T>(step: string): T | undefined;
}

export interface TaskKind<I = unknown> {
  /** `<service>.<noun>.<verb>` */
  readonly kind: string;
  /** The noun of the object that it makes or changes. */
  readonly object: string;
  readonly steps: readonly Step<I>[];
  /** In the transaction that ends the task. Also called when a retry of `needs-attention` has ended. */
  onFinished?(tx: EntityManager, outcome: TaskOutcome<I>): Promise<void>;
}

const stepName = /^[a-z][a-z0-9-]{0,79}$/;

/** Checks the table; throws on a mistake in it (a bug found at import). */
export function defineTask<I = unknown>(kind: TaskKind<I>): TaskKind<I> {
  const names = kind.steps.map((step) => step.name);
  const wrong = names.find((name) => !stepName.test(name));
  if (kind.steps.length === 0) throw new Error(`${kind.kind} has no steps`);
  if (wrong !== undefined) throw new Error(`${kind.kind}: "${wrong}" is not a name of a step`);
  if (new Set(names).size !== names.length) throw new Error(`${kind.kind}: two steps have one name`);
  if (kind.steps.some((step) => step.turnsBackOn !== undefined && step !== kind.steps[pointOfNoReturn(kind)])) throw new Error(`${kind.kind}: turnsBackOn belongs to the first step with noReturn`);
  if (!/^[a-z]+\.[a-z][a-z0-9-]*\.[a-z][a-z0-9-]*$/.test(kind.kind)) throw new Error(`"${kind.kind}" is not <service>.<noun>.<verb>`);
  return kind;
}

/** Whether a task was begun with just these steps. Another version of the kind may have others, and what a task has on record is that version's. */
export const hasSteps = (kind: TaskKind, steps: readonly { readonly name: string }[]): boolean =>
  steps.length === kind.steps.length && kind.steps.every(({ name }, at) => name === steps[at]?.name);

/** The index from which a task of this kind cannot turn back; Infinity without such a step. */
export function pointOfNoReturn(kind: TaskKind): number {
  const index = kind.steps.findIndex((step) => step.noReturn === true);
  return index === -1 ? Infinity : index;
}

/** Whether a task turns back by a fault of the step at this index; else it is stuck there. */
export function turnsBack(kind: TaskKind, at: number, fault: Fault): boolean {
  const noReturn = pointOfNoReturn(kind);
  return at < noReturn || (at === noReturn && kind.steps[at]?.turnsBackOn?.(fault) === true);
}

export type StepAnswer = Failed | Result<unknown>;
