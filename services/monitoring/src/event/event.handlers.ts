// The event log on the bus.
import { Controller, Inject } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { Handles, type BusContext } from '#bus';
import { listEvents, type InputOf } from '#contracts';
import { whoOf } from '#database';
import { Db } from '#service';
import { readLog } from './event.store.ts';

@Controller()
export class EventHandlers {
  constructor(@Inject(Db) private readonly db: DataSource) {}

  @Handles(listEvents) list(input: InputOf<typeof listEvents>, ctx: BusContext) { return readLog(this.db, whoOf(ctx), input); }
}
