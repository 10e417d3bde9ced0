// Calls that a step makes to the outside: to hosts, to other services, and for their tasks. Keys and ids are the same on
// every repetition; failures that pass by themselves park the task instead of failing it, as long as patience lasts.
import type { BusClient, CallOptions } from '#bus';
import type { HostOperation, Operation, ReplyOf, RequestOf, Task, TaskService } from '#contracts';
import { CommandCancelled, computeTask, DeadlineExceeded, endStates, Internal, networkTask, NotFound, storageTask, templatesTask } from '#contracts';
import { FaultError } from '#kernel';
import type { Fault, Result } from '#kernel';
import { bugFault, faultOfWire, isAtWork, passesByItself, pauseMs } from './fault.ts';
import { Parked } from './interrupt.ts';
import { childTaskId, requestKeyOf } from './keys.ts';
import type { CallPlace } from './keys.ts';
import type { ChildResult } from './kind.ts';
import type { ChildRecord } from './rows.ts';

/** The part of the bus that tasks use. */
export type TaskBus = Pick<BusClient, 'request' | 'requestHost' | 'explain'>;

export interface Caller {
  readonly bus: TaskBus;
  readonly place: CallPlace;
  readonly signal: AbortSignal;
  /** The span of the step. */
  readonly traceparent: string;
  /** How often this step has parked. */
  readonly parks: number;
  /** Since when this step has been failing in passing ways, ms; 0 = it has not. */
  failingForMs(): Promise<number>;
  readonly retryForMs: number;
  readonly childLookMs: number;
  readonly hostTryMs: number;
  readonly children: Readonly<Record<string, ChildRecord>>;
  noteChild(key: string, child: Omit<ChildRecord, 'arrivesUntil'>, onItsWayMs: number): Promise<void>;
  /** What the parent shows of a child that it has looked at. */
  showChild(task: Task): Promise<void>;
}

/** The fault of a child that has ended: final, however it reads. */
export class ChildFailed extends FaultError {}

export const taskOperationsOf: Readonly<Record<string, typeof computeTask | typeof storageTask | typeof networkTask | typeof templatesTask>> & Readonly<Record<TaskService, unknown>> =
  { compute: computeTask, storage: storageTask, network: networkTask, templates: templatesTask };

/** Throws Parked while there is patience, the fault itself after that. */
export async function parkOrThrow(caller: Pick<Caller, 'failingForMs' | 'retryForMs' | 'parks'>, fault: Fault, holder: string | null): Promise<never> {
  if (!passesByItself(fault)) throw new FaultError(fault);
  if (!isAtWork(fault) && (await caller.failingForMs()) > caller.retryForMs) throw new FaultError(fault);
  throw new Parked({ what: fault.detail, holder: holderOf(fault) ?? holder, position: null }, pauseMs(caller.parks, fault), fault);
}

/** Whom the fault names, the nearest first: a task that works on the object rather than the service that said so. */
const holderOf = ({ details }: Fault): string | null =>
  ['taskId', 'hostId', 'service'].map((name) => details?.[name]).find((named) => typeof named === 'string') ?? null;

export async function callHost<O extends HostOperation>(caller: Caller, hostId: string, operation: O, input: RequestOf<O>, waitsFor: string | undefined): Promise<ReplyOf<O>> {
  const answer = await caller.bus.requestHost(hostId, operation, input, {
    as: 'system', timeoutMs: Math.min(operation.timeoutMs, caller.hostTryMs), signal: caller.signal, traceparent: caller.traceparent,
  });
  if (answer.ok) return answer.value;
  return parkOrThrow(caller, waitsFor !== undefined && isAtWork(answer.fault) ? { ...answer.fault, detail: waitsFor } : answer.fault, hostId);
}

export async function callService<O extends Operation>(caller: Caller, operation: O, input: RequestOf<O>, part: string | undefined): Promise<ReplyOf<O>> {
  const answer = await caller.bus.request(operation, input, systemCall(caller, part));
  return answer.ok ? answer.value : parkOrThrow(caller, answer.fault, operation.service);
}

const systemCall = (caller: Caller, part: string | undefined): CallOptions => ({ as: 'system', idempotencyKey: requestKeyOf(caller.place, part), signal: caller.signal, traceparent: caller.traceparent });

/** The child's result, or its id while it works (it has been started then). */
export async function followChild(caller: Caller, operation: Operation, input: unknown, part: string | undefined): Promise<ChildResult | string> {
  const key = requestKeyOf(caller.place, part);
  const known = caller.children[key];
  const seen = known === undefined ? undefined : await lookAtChild(caller, known);
  if (seen !== undefined) return resultOf(caller, seen);
  const expected = { service: operation.service, taskId: known?.taskId ?? childTaskId(operation.service, key) };
  await caller.noteChild(key, expected, operation.timeoutMs * 2);
  const answer = await caller.bus.request(operation, input, systemCall(caller, part));
  if (!answer.ok) {
    // Refused for good: no such child is on its way any more, so an undo need not wait for it.
    if (!passesByItself(answer.fault) && answer.fault.code !== Internal.code) await caller.noteChild(key, expected, 0);
    return parkOrThrow(caller, answer.fault, operation.service);
  }
  const taskId = taskIdOf(operation, answer.value);
  if (taskId !== expected.taskId) await caller.noteChild(key, { ...expected, taskId }, 0);
  return taskId;
}

/** The same of a child that has been seen. */
export async function resultOf(caller: Pick<Caller, 'showChild'>, seen: Task): Promise<ChildResult | string> {
  if (seen.state !== 'succeeded') await caller.showChild(seen);
  return endOf(seen) ?? seen.id;
}

/** Undefined = there is no such task. */
export async function lookAtChild(caller: Caller, child: ChildRecord): Promise<Task | undefined> {
  const answer = await caller.bus.request(operationsOf(child.service).get, { taskId: child.taskId }, { as: 'system', traceparent: caller.traceparent });
  if (answer.ok) return answer.value;
  return answer.fault.code === NotFound.code ? undefined : parkOrThrow(caller, answer.fault, child.service);
}

export const cancelChild = ({ bus, traceparent }: Caller, child: ChildRecord, key: string): Promise<Result<unknown>> =>
  bus.request(operationsOf(child.service).cancel, { taskId: child.taskId }, { as: 'system', idempotencyKey: key, traceparent });

function operationsOf(service: string): typeof computeTask {
  const operations = taskOperationsOf[service];
  if (operations === undefined) throw new Error(`${service} has no tasks`);
  // The services' sets differ in their subjects alone.
  return operations;
}

export const hasEnded = (task: Task): boolean => endStates.includes(task.state);

function endOf(task: Task): ChildResult | undefined {
  if (!hasEnded(task)) return undefined;
  if (task.state === 'succeeded') return { taskId: task.id, objectId: task.object.id, output: task.output };
  if (task.state === 'cancelled') throw new ChildFailed(CommandCancelled.fault(`The task ${task.kind} was cancelled.`));
  throw new ChildFailed(task.error === null ? bugFault(undefined) : faultOfWire(task.error));
}

function taskIdOf(operation: Operation, reply: unknown): string {
  const taskId = typeof reply === 'object' && reply !== null && 'taskId' in reply ? reply.taskId : undefined;
  if (typeof taskId !== 'string') throw new Error(`${operation.name} starts no task: use request`);
  return taskId;
}

/** Whether an answer says that the child cannot or need not be cancelled; anything else is tried again. */
export const gaveUp = (fault: Fault): boolean => fault.code === DeadlineExceeded.code || passesByItself(fault);
