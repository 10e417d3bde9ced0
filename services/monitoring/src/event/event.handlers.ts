// The event log on the bus.
import { Controller, Inject } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { Handles, type BusContext } from '#bus';
import { listEvents, waitForEvents, type InputOf } from '#contracts';
import { whoOf } from '#database';
import { Db } from '#service';
import { EventReader } from './event.reader.ts';
import { readLog } from './event.store.ts';

@Controller()
export class EventHandlers {
  constructor(@Inject(Db) private readonly db: DataSource, @Inject(EventReader) private readonly events: EventReader) {}

  @Handles(listEvents) list(input: InputOf<typeof listEvents>, ctx: BusContext) { return readLog(this.db, whoOf(ctx), input); }
  @Handles(waitForEvents) wait(input: InputOf<typeof waitForEvents>, ctx: BusContext) { return this.events.wait(input, ctx); }
}
