// Answers about feeds.
import { Controller, Inject } from '@nestjs/common';
import { Handles } from '#bus';
import type { BusContext } from '#bus';
import { createEventFeed, deleteEventFeed, getEventFeed, listEventFeeds } from '#contracts';
import type { InputOf } from '#contracts';
import { FeedCommands } from './feed.commands.ts';

@Controller()
export class FeedHandlers {
  constructor(@Inject(FeedCommands) private readonly feeds: FeedCommands) {}

  @Handles(createEventFeed) create(input: InputOf<typeof createEventFeed>, ctx: BusContext) { return this.feeds.create(input, ctx); }
  @Handles(getEventFeed) get(input: InputOf<typeof getEventFeed>, ctx: BusContext) { return this.feeds.get(input, ctx); }
  @Handles(listEventFeeds) list(input: InputOf<typeof listEventFeeds>, ctx: BusContext) { return this.feeds.list(input, ctx); }
  @Handles(deleteEventFeed) delete(input: InputOf<typeof deleteEventFeed>, ctx: BusContext) { return this.feeds.delete(input, ctx); }
}
