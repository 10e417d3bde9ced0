// Tasks and events of all services in one view.
import { z } from 'zod';
import { defineCommand, defineQuery } from '../define.ts';
import { ErrorBody, NotFound, TaskNotCancellable, WrongState } from '../errors.ts';
import { TaskId } from '../ids.ts';
import { listInput } from '../list.ts';
import { Done, pageOf, queryNumber, queryPosition } from '../values.ts';
import { endStates, EventEnvelope, Task, TaskState } from '../task.ts';

const flag = z.preprocess((value) => (value === 'true' ? true : value === 'false' ? false : value), z.boolean());
export const listTasks = defineQuery('monitoring.task.list', { summary: 'List tasks, newest first', http: 'GET /v1/tasks', permission: 'task.read', input: z.strictObject({ ...listInput(Task, ['createdAt'], '-createdAt'), state: TaskState.optional(), open: flag.optional(), objectId: z.uuid().optional(), kind: z.string().max(80).optional(), top: flag.default(true).describe('only tasks without a parent') }), reply: pageOf(Task) });
/** Whether somebody who knows this version, or none, has waited for this. */
export const isTaskNews = (afterVersion: number | undefined, { state, version }: Pick<Task, 'state' | 'version'>): boolean =>
  endStates.includes(state) || (afterVersion !== undefined && version > afterVersion);

export const getTask = defineQuery('monitoring.task.get', {
  summary: 'Show a task with its steps; with `waitMs` answers when it changes after `afterVersion` or ends', http: 'GET /v1/tasks/:taskId', permission: 'task.read', on: 'taskId', timeoutMs: 35_000,
  input: z.strictObject({ taskId: TaskId, waitMs: queryNumber(0, 25_000).default(0), afterVersion: queryNumber(0, 999_999_999).optional() }), reply: Task, errors: [NotFound],
  news: ({ afterVersion }, task) => isTaskNews(afterVersion, task),
});
export const cancelTask = defineCommand('monitoring.task.cancel', { summary: 'Cancel a task: what it did is undone', http: 'POST /v1/tasks/:taskId/cancel', permission: 'task.cancel', on: 'taskId', input: z.strictObject({ taskId: TaskId }), reply: Done, errors: [NotFound, TaskNotCancellable] });
export const retryTask = defineCommand('monitoring.task.retry', { summary: 'Go on with a task that needs attention', http: 'POST /v1/tasks/:taskId/retry', permission: 'task.cancel', on: 'taskId', input: z.strictObject({ taskId: TaskId }), reply: Done, errors: [NotFound, WrongState] });

export const LoggedEvent = EventEnvelope.extend({ globalSeq: z.int().describe('order over all services') }).meta({ id: 'LoggedEvent' });
export const listEvents = defineQuery('monitoring.event.list', {
  summary: 'Read the event log in order, after a global sequence number; with `waitMs` answers when there is something; as a stream with `Accept: text/event-stream`', http: 'GET /v1/events', permission: 'event.read', timeoutMs: 35_000,
  input: z.strictObject({ limit: queryNumber(1, 500).default(100), after: queryPosition.default(0).describe('only events with a higher globalSeq'), latest: flag.default(false).describe('the newest ones instead, newest first'), waitMs: queryNumber(0, 25_000).default(0).describe('how long to wait for the first one'), name: z.string().max(80).optional(), objectId: z.uuid().optional() }),
  reply: z.strictObject({ items: z.array(LoggedEvent), lastSeq: z.int(), firstSeq: z.int().describe('the oldest that is still kept; lastSeq + 1 when none is'), gone: ErrorBody.optional().describe('EVENTS_GONE, where some after `after` are kept no longer: what to do instead') }),
  news: ({ latest }, { items }) => latest || items.length > 0,
});
