// What is answered for every service that owns a schema, without a line in the service.
import { Controller } from '@nestjs/common';
import type { Type } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { Handles } from '#bus';
import type { BusContext } from '#bus';
import type { InputOf, ReplyOf, ServiceName } from '#contracts';
import type { Result } from '#kernel';
import { eventsHandler, taskHandlers } from '#tasks';
import type { TaskEngine } from '#tasks';

/** `<service>.events.read`: how a consumer fills a gap. */
export function eventsController(service: ServiceName, db: DataSource): Type {
  const events = eventsHandler(service, db);
  type Read = typeof events.operation;

  @Controller()
  class EventsController {
    @Handles(events.operation)
    read(input: InputOf<Read>): Promise<Result<ReplyOf<Read>>> {
      return events.read(input);
    }
  }
  return EventsController;
}

/** `<service>.task.get|list|cancel|retry`: what monitoring asks. */
export function tasksController(engine: TaskEngine): Type {
  const tasks = taskHandlers(engine);
  const { get, list, cancel, retry } = tasks.operations;

  @Controller()
  class TasksController {
    @Handles(get)
    get(input: InputOf<typeof get>): Promise<Result<ReplyOf<typeof get>>> {
      return tasks.get(input);
    }

    @Handles(list)
    list(input: InputOf<typeof list>): Promise<Result<ReplyOf<typeof list>>> {
      return tasks.list(input);
    }

    @Handles(cancel)
    cancel(input: InputOf<typeof cancel>, ctx: BusContext): Promise<Result<ReplyOf<typeof cancel>>> {
      return tasks.cancel(input, ctx);
    }

    @Handles(retry)
    retry(input: InputOf<typeof retry>, ctx: BusContext): Promise<Result<ReplyOf<typeof retry>>> {
      return tasks.retry(input, ctx);
    }
  }
  return TasksController;
}
