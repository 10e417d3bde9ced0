// One follower's way through the log: out of memory where he is near the end of it, else page by page from its owner, and in
// both cases with the rights that he has at that moment. Order and completeness come from the numbers of the log alone.
import type { BusClient } from '#bus';
import { eventMatcher, eventsGone, isGone, maySeeEvent, readEventLog } from '#contracts';
import type { EventFilter, LogEntry } from '#contracts';
import { ok } from '#kernel';
import type { Fault, Result } from '#kernel';
import type { Caller } from '../caller/callers.client.ts';
import type { EventTail, Stretch } from './event-tail.client.ts';

export interface Heard extends Stretch {
  /** EVENTS_GONE: some between `after` and `items` are kept no longer. */
  readonly gone?: Fault;
}
type Seer = Pick<Caller, 'actor' | 'actorToken'>;
const pageSize = 500;

export class EventCursor {
  private readonly matches: (entry: LogEntry) => boolean;
  private readonly wantsAll: boolean;

  /** `position` undefined = from now on. */
  constructor(private readonly parts: { readonly bus: Pick<BusClient, 'request'>; readonly tail: EventTail }, private readonly filter: EventFilter, private position: number | undefined) {
    this.matches = eventMatcher(filter);
    this.wantsAll = filter.names === undefined && filter.objects === undefined;
  }

  get at(): number | undefined {
    return this.position;
  }

  moveTo(position: number): void {
    this.position = position;
  }

  /** What comes behind the cursor, which moves; waits up to `ms` where there is nothing. A refusal leaves it where it is. */
  async next(who: Seer, ms: number, signal: AbortSignal): Promise<Result<Heard>> {
    const begin = this.position;
    if (begin === undefined) return this.begin(who);
    for (const until = performance.now() + ms; ;) {
      const near = this.parts.tail.behind(this.position ?? begin);
      const heard: Result<Heard> = near === undefined ? await this.read(who, this.position ?? begin) : ok(this.seen(who, near));
      if (!heard.ok) {
        this.position = begin;
        return heard;
      }
      this.position = heard.value.position;
      const leftMs = until - performance.now();
      if (heard.value.items.length > 0 || heard.value.gone !== undefined || leftMs <= 0 || signal.aborted) return ok({ ...heard.value, after: begin });
      // A page that was not in memory may have another behind it.
      if (near !== undefined || this.parts.tail.behind(this.position) === undefined) await this.parts.tail.news(leftMs, signal);
    }
  }

  private async begin({ actorToken }: Seer): Promise<Result<Heard>> {
    const answer = await this.parts.bus.request(readEventLog, { filter: this.filter }, { actorToken });
    if (!answer.ok) return answer;
    const { position } = answer.value;
    this.position = position;
    return ok({ items: [], after: position, position });
  }

  private seen({ actor }: Seer, stretch: Stretch): Stretch {
    const { items } = stretch;
    // Those who see all of a stretch have the very same one, so that what is made of it is made once.
    const isSeen = (entry: LogEntry): boolean => (this.wantsAll || this.matches(entry)) && maySeeEvent(actor, entry);
    return items.every(isSeen) ? stretch : { ...stretch, items: items.filter(isSeen) };
  }

  private async read({ actorToken }: Seer, after: number): Promise<Result<Heard>> {
    const answer = await this.parts.bus.request(readEventLog, { after, limit: pageSize, filter: this.filter }, { actorToken });
    if (!answer.ok) return answer;
    const { items, position, firstSeq, lastSeq } = answer.value;
    return ok({ items, after, position, ...(isGone(after, firstSeq) ? { gone: eventsGone(after, { firstSeq, lastSeq }) } : {}) });
  }
}
