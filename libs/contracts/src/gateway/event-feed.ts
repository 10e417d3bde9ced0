// Feeds: events pushed to a bus user on `tok.v1.user.<handle>.evt.<feedId>`, from a place in the log on and then as they come.
// A feed lives for as long as its user says that he reads it.
import { z } from 'zod';
import { defineCommand, defineQuery } from '../define.ts';
import { ErrorBody, EventsGone, NotFound, RateLimited } from '../errors.ts';
import { EventFeedId, UserId } from '../ids.ts';
import { listInput } from '../list.ts';
import { EventFilter, EventPosition } from '../monitoring/event-log.ts';
import { LoggedEvent } from '../monitoring/monitoring.ts';
import { At, Done, Handle, pageOf, queryFlag, queryPosition } from '../values.ts';

/** The subject of a feed, which nobody but its user may listen to. */
export const feedSubject = (handle: string, feedId: string): string => `tok.v1.user.${handle}.evt.${feedId}`;

export const EventFeed = z.strictObject({
  id: EventFeedId, userId: UserId, user: Handle, subject: z.string().describe('where it speaks; listen there before you make it, or to tok.v1.user.<handle>.evt.>'),
  filter: EventFilter, read: EventPosition.describe('how far its reader has said that he is'),
  leaseMs: z.int().describe('without a sign of its reader for so long it ends'), createdAt: At, endsAt: At.describe('when it ends unless it is asked for before'),
}).meta({ id: 'EventFeed' });

/** What a feed says. Everything with a globalSeq above `after` and up to `position` that its user may see is in `events`. */
export const FeedMessage = z.strictObject({
  feedId: EventFeedId, after: EventPosition.describe('the `position` of the message before; if it is above what you have, something was lost on the way: ask for the feed with `again`'),
  position: EventPosition, events: z.array(LoggedEvent), end: ErrorBody.nullable().describe('the last message says why'),
}).meta({ id: 'FeedMessage' });

export const createEventFeed = defineCommand('gateway.event-feed.create', {
  summary: 'Have events pushed to you on the bus: those after a place in the log first, then what comes', http: 'POST /v1/event-feeds', permission: 'event.read',
  description: 'It speaks on tok.v1.user.<handle>.evt.<feedId>, in order and without a gap, and says every 10 s how far it is. Ask for it (gateway.event-feed.get) with `read` = the position you have got to, before its lease is over and at least every 2,000 events: it does not run further ahead of its reader than that',
  input: z.strictObject({
    after: queryPosition.optional().describe('globalSeq of the last event that you have; 0 = from the oldest that is kept; absent = from now on'),
    filter: EventFilter.default({}), leaseMs: z.int().min(5_000).max(600_000).default(60_000),
  }),
  reply: EventFeed, errors: [EventsGone, RateLimited],
});
export const getEventFeed = defineQuery('gateway.event-feed.get', {
  summary: 'Show a feed of yours; asking for it keeps it open', http: 'GET /v1/event-feeds/:feedId', permission: 'event.read',
  input: z.strictObject({
    feedId: EventFeedId, read: queryPosition.optional().describe('the position that you have got to'), again: queryFlag.default(false).describe('something was lost on the way: say everything after `read` again'),
  }),
  reply: EventFeed, errors: [NotFound],
});
export const listEventFeeds = defineQuery('gateway.event-feed.list', {
  summary: 'Your open feeds', http: 'GET /v1/event-feeds', permission: 'event.read', input: z.strictObject(listInput(EventFeed, ['createdAt'])), reply: pageOf(EventFeed),
});
export const deleteEventFeed = defineCommand('gateway.event-feed.delete', {
  summary: 'End a feed of yours', http: 'DELETE /v1/event-feeds/:feedId', permission: 'event.read', input: z.strictObject({ feedId: EventFeedId }), reply: Done, errors: [NotFound],
});
