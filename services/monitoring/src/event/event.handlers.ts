// The event log on the bus.
import { Controller, Inject } from '@nestjs/common';
import { Handles, type BusContext } from '#bus';
import { listEvents, readEventLog, type InputOf } from '#contracts';
import { EventReader } from './event.reader.ts';

@Controller()
export class EventHandlers {
  constructor(@Inject(EventReader) private readonly events: EventReader) {}

  @Handles(listEvents) list(input: InputOf<typeof listEvents>, ctx: BusContext) { return this.events.list(input, ctx); }
  @Handles(readEventLog) read(input: InputOf<typeof readEventLog>, ctx: BusContext) { return this.events.read(input, ctx); }
}
