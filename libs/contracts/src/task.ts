// Durable tasks and the event envelope: the part of the contract that every task-owning service has in the same form.
import { z } from 'zod';
import { defineCommand, defineEvent, defineQuery, type ServiceName } from './define.ts';
import { ErrorBody, NotFound, TaskNotCancellable, WrongState } from './errors.ts';
import { TaskId, UserId } from './ids.ts';
import { At, Done, Handle, pageInput, pageOf } from './values.ts';

export const taskServices = ['compute', 'storage', 'network', 'templates'] as const satisfies readonly ServiceName[];
export type TaskService = (typeof taskServices)[number];

/** `queued` = waits for a worker; `waiting` = parked for a child, a lock, a host; the last four are ends. */
export const TaskState = z.enum(['queued', 'running', 'waiting', 'cancelling', 'undoing', 'succeeded', 'failed', 'cancelled', 'needs-attention']);
export type TaskState = z.infer<typeof TaskState>;
export const endStates: readonly TaskState[] = ['succeeded', 'failed', 'cancelled', 'needs-attention'];

export const TaskProgress = z.strictObject({ done: z.number(), total: z.number(), unit: z.enum(['bytes', 'steps']), ratePerSecond: z.number().nullable(), remainingMs: z.number().nullable() });
export const WaitsFor = z.strictObject({ what: z.string(), holder: z.string().nullable(), position: z.int().nullable(), since: At });
export const StepState = z.enum(['pending', 'running', 'done', 'failed', 'undoing', 'undone', 'undo-failed', 'skipped']);
/** Another service's task that a step has started, as it last told; null where it has told nothing yet. */
export const TaskChild = z.strictObject({
  taskId: TaskId, service: z.string(), kind: z.string().nullable(), object: z.strictObject({ noun: z.string(), id: z.string(), name: z.string().nullable() }).nullable(),
  state: TaskState, step: z.string().nullable().describe('the step it is at'), progress: TaskProgress.nullable(), waitsFor: WaitsFor.nullable(),
});
export type TaskChild = z.infer<typeof TaskChild>;
export const TaskStep = z.strictObject({
  seq: z.int(), name: z.string(), state: StepState, attempt: z.int(), startedAt: At.nullable(), endedAt: At.nullable(), error: ErrorBody.nullable(),
  children: z.array(TaskChild).default([]).describe('tasks of other services that this step has started'),
});

export const Task = z.strictObject({
  id: TaskId, service: z.string(), kind: z.string(),
  object: z.strictObject({ noun: z.string(), id: z.string(), name: z.string().nullable() }),
  state: TaskState, progress: TaskProgress.nullable(), waitsFor: WaitsFor.nullable(), error: ErrorBody.nullable(), output: z.unknown(),
  actor: z.strictObject({ userId: UserId, handle: Handle }).nullable(), parentTaskId: TaskId.nullable(), traceId: z.string().nullable(),
  steps: z.array(TaskStep), version: z.int().describe('rises with every change; orders copies'), createdAt: At, startedAt: At.nullable(), endedAt: At.nullable(),
}).meta({ id: 'Task' });
export type Task = z.infer<typeof Task>;

export const EventEnvelope = z.strictObject({
  id: z.string(), source: z.string(), seq: z.int().describe('without gaps per source'), name: z.string(), version: z.int(),
  noun: z.string(), objectId: z.string(), at: At, actor: z.strictObject({ userId: UserId, handle: Handle }).nullable(),
  traceId: z.string().nullable(), taskId: TaskId.nullable(), data: z.record(z.string(), z.unknown()),
}).meta({ id: 'Event' });
export type EventEnvelope = z.infer<typeof EventEnvelope>;

/** What a service with tasks answers about them; internal, the public face is monitoring's. */
export const taskOperations = <S extends TaskService>(service: S) => ({
  get: defineQuery(`${service}.task.get`, { summary: `One task of ${service}`, permission: 'internal', input: z.strictObject({ taskId: TaskId }), reply: Task, errors: [NotFound] }),
  list: defineQuery(`${service}.task.list`, { summary: `Tasks of ${service}, newest first`, permission: 'internal', input: z.strictObject({ ...pageInput, open: z.boolean().optional() }), reply: pageOf(Task) }),
  cancel: defineCommand(`${service}.task.cancel`, { summary: `Cancel a task of ${service}`, permission: 'internal', input: z.strictObject({ taskId: TaskId }), reply: Done, errors: [NotFound, TaskNotCancellable] }),
  retry: defineCommand(`${service}.task.retry`, { summary: `Go on with a task of ${service} that needs attention`, permission: 'internal', input: z.strictObject({ taskId: TaskId }), reply: Done, errors: [NotFound, WrongState] }),
});
// Made once: a schema compiles itself at its first use, and these are asked for with every event.
const changedTask = z.strictObject({ task: Task, ownerId: UserId.nullable() });
export const taskChanged = <S extends TaskService>(service: S) =>
  defineEvent(`${service}.task.changed`, { summary: `A task of ${service} changed its state, step or progress`, data: changedTask });

const eventsAfter = z.strictObject({
  afterSeq: z.int().min(0), limit: z.int().min(1).max(1000).default(500),
  nouns: z.array(z.string().regex(/^[a-z][a-z0-9-]{0,62}$/)).min(1).max(50).optional().describe('only events of these nouns; left out = all'),
});
const eventsPage = z.strictObject({
  events: z.array(EventEnvelope), lastSeq: z.int(), firstSeq: z.int(),
  upTo: z.int().optional().describe('all events asked for up to this number are in the answer; absent from an owner of an earlier version'),
});
/** How a consumer fills a gap: every service with an outbox answers. */
export const eventsRead = <S extends ServiceName>(service: S) =>
  defineQuery(`${service}.events.read`, { summary: `Events of ${service} after a sequence number, in order`, permission: 'internal', input: eventsAfter, reply: eventsPage });

export const computeTask = taskOperations('compute');
export const storageTask = taskOperations('storage');
export const networkTask = taskOperations('network');
export const templatesTask = taskOperations('templates');
