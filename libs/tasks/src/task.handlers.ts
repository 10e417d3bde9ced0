// The answers that every service with tasks gives in the same form: `<service>.task.get|list|cancel|retry` and
// `<service>.events.read`. Services only; people ask monitoring.
import type { DataSource } from 'typeorm';
import type { BusContext } from '#bus';
import type { InputOf, ReplyOf, ServiceName, TaskService } from '#contracts';
import { eventsRead, NotFound, taskOperations } from '#contracts';
import { failed, ok } from '#kernel';
import type { Result } from '#kernel';
import { runCommand } from './command.store.ts';
import { readEvents } from './outbox.store.ts';
import type { TaskEngine } from './task.engine.ts';

type TaskOperations = ReturnType<typeof taskOperations<TaskService>>;
type Answer<O> = Promise<Result<ReplyOf<O>>>;

export interface TaskHandlers {
  readonly operations: TaskOperations;
  get(input: InputOf<TaskOperations['get']>): Answer<TaskOperations['get']>;
  list(input: InputOf<TaskOperations['list']>): Answer<TaskOperations['list']>;
  cancel(input: InputOf<TaskOperations['cancel']>, ctx: BusContext): Answer<TaskOperations['cancel']>;
  retry(input: InputOf<TaskOperations['retry']>, ctx: BusContext): Answer<TaskOperations['retry']>;
}

export function taskHandlers(engine: TaskEngine): TaskHandlers {
  const operations = taskOperations<TaskService>(engine.service);
  return {
    operations,
    get: async ({ taskId }) => {
      const task = await engine.get(taskId);
      return task === undefined ? NotFound.fail('There is no task with this id.', { noun: 'task', id: taskId }) : ok(task);
    },
    list: async (input) => {
      const page = await engine.list(input);
      return page.ok ? page : failed(page.fault);
    },
    cancel: (input, ctx) => runCommand(engine.db, { ctx, operation: operations.cancel, input }, async (tx) => {
      await engine.cancel(tx, input.taskId);
      return {};
    }),
    retry: (input, ctx) => runCommand(engine.db, { ctx, operation: operations.retry, input }, async (tx) => {
      await engine.retry(tx, input.taskId);
      return {};
    }),
  };
}

type EventsRead = ReturnType<typeof eventsRead<ServiceName>>;

/** Answer of `<service>.events.read`, for every service with an outbox. */
export const eventsHandler = (service: ServiceName, db: DataSource): { readonly operation: EventsRead; read(input: InputOf<EventsRead>): Answer<EventsRead> } => ({
  operation: eventsRead<ServiceName>(service),
  read: async (input) => ok(await readEvents(db, input)),
});
