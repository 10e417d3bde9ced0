// The operations of tasks on the bus.
import { Controller, Inject } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { Handles, type BusContext } from '#bus';
import { cancelTask, getTask, listTasks, retryTask, type InputOf } from '#contracts';
import { whoOf } from '#database';
import { Db } from '#service';
import { TaskReader } from './task.reader.ts';
import { pageOfTasks } from './task.store.ts';

@Controller()
export class TaskHandlers {
  constructor(@Inject(Db) private readonly db: DataSource, @Inject(TaskReader) private readonly tasks: TaskReader) {}

  @Handles(listTasks) list(input: InputOf<typeof listTasks>, ctx: BusContext) { return pageOfTasks(this.db, whoOf(ctx), input); }
  @Handles(getTask) get(input: InputOf<typeof getTask>, ctx: BusContext) { return this.tasks.get(input, ctx); }
  @Handles(cancelTask) cancel(input: InputOf<typeof cancelTask>, ctx: BusContext) { return this.tasks.pass('cancel', input, ctx); }
  @Handles(retryTask) retry(input: InputOf<typeof retryTask>, ctx: BusContext) { return this.tasks.pass('retry', input, ctx); }
}
