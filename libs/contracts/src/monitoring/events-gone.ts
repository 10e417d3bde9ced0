// What whoever comes too late for events is told: which are gone, and what to list instead.
import type { Fault } from '#kernel';
import { allEvents, allOperations } from '../catalogue.ts';
import { EventsGone } from '../errors.ts';

const told: ReadonlySet<string> = new Set(allEvents.map(({ noun }) => noun));
/** The lists of everything that events tell of. */
const snapshot = allOperations.flatMap(({ name, verb, noun, http }) => (verb === 'list' && http !== undefined && told.has(noun) ? [{ operation: name, http }] : []));

export const eventsGone = (after: number, { firstSeq, lastSeq }: { readonly firstSeq: number; readonly lastSeq: number }): Fault => EventsGone.fault(
  `Events after ${after} are kept no longer; the first that is kept is ${firstSeq}. List the objects as they are now, then go on after ${lastSeq}.`,
  { after, firstSeq, lastSeq, snapshot },
);
