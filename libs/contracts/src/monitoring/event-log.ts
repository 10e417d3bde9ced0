// The event log as consumers follow it: which events they wish for, who may see them, where they go on, and what is told to
// whoever comes too late. One rule for streams, feeds of bus users and webhooks; the owner of the log has the same in SQL.
import { z } from 'zod';
import { mayAccess, type Who } from '../access.ts';
import { defineQuery } from '../define.ts';

/** `service.noun.verb`, `*` for any part. */
export const EventPattern = z.string().max(80).regex(/^(\*|[a-z][a-z0-9-]*)(\.(\*|[a-z][a-z0-9-]*)){2}$/, 'service.noun.verb, with * for any part');
export const EventFilter = z.strictObject({
  names: z.array(EventPattern).min(1).max(50).optional().describe('names of events, * for any part: compute.vm.*; all if absent'),
  objects: z.array(z.uuid()).min(1).max(100).optional().describe('about these objects, and about tasks and ports of theirs; all if absent'),
}).meta({ id: 'EventFilter' });
export type EventFilter = z.infer<typeof EventFilter>;

/** A place in the log: everything up to this globalSeq is behind it. */
export const EventPosition = z.int().min(0);

/** What decides who may see an event, as the log knows it now. */
export const EventAccess = z.strictObject({
  source: z.string(), subjectId: z.string().nullable().describe('the object that it is about in truth'),
  actorId: z.string().nullable(), ownerId: z.string().nullable(), folderId: z.string().nullable(), clusterId: z.string().nullable(),
});
export type EventAccess = z.infer<typeof EventAccess>;
export const LogEntry = EventAccess.extend({ globalSeq: z.int(), name: z.string(), objectId: z.string(), text: z.string().describe('the LoggedEvent as JSON') });
export type LogEntry = z.infer<typeof LogEntry>;

export const readEventLog = defineQuery('monitoring.event.read', {
  summary: 'Events behind a place in the log, as they are passed on, with what decides who may see them; with `waitMs` as soon as there is one', permission: 'event.read', timeoutMs: 35_000,
  description: 'For services that pass events on. A page ends where it gets too large: `position` says how far it reaches',
  input: z.strictObject({
    after: EventPosition.optional().describe('absent = nothing but where the log ends now'), limit: z.int().min(1).max(1_000).default(500), waitMs: z.int().min(0).max(25_000).default(0), filter: EventFilter.default({}),
  }),
  reply: z.strictObject({ items: z.array(LogEntry), position: EventPosition.describe('all up to here is in this page, or not for the caller'), lastSeq: z.int(), firstSeq: z.int() }),
});

/** Own deeds, own objects, and what rights cover; what happens to users is for those who may read users. */
export function maySeeEvent(who: Who, { source, subjectId, actorId, ownerId, folderId, clusterId }: EventAccess): boolean {
  if (who === 'system') return true;
  const own = actorId === who.userId;
  if (source === 'auth' && !own && !mayAccess(who, 'user.read', {})) return false;
  return own || mayAccess(who, 'event.read', { ...(subjectId === null ? {} : { id: subjectId }), ownerId, folderId, clusterId });
}

/** Whether an event fits the filter; made once, asked often. */
export function eventMatcher({ names, objects }: EventFilter): (event: Pick<LogEntry, 'name' | 'objectId' | 'subjectId'>) => boolean {
  const forms = names?.map((name) => name.split('.'));
  const about = objects === undefined ? undefined : new Set(objects);
  return ({ name, objectId, subjectId }) => {
    if (about !== undefined && !about.has(objectId) && (subjectId === null || !about.has(subjectId))) return false;
    if (forms === undefined) return true;
    const parts = name.split('.');
    return forms.some((form) => form.every((part, index) => part === '*' || part === parts[index]));
  };
}

/** Whoever begins at 0 wants what there is, and has missed nothing. */
export const isGone = (after: number, firstSeq: number): boolean => after > 0 && after + 1 < firstSeq;
