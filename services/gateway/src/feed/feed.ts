// What a feed says, and how far it may be ahead of its reader. Pure.
import type { LogEntry } from '#contracts';
import type { Fault } from '#kernel';

/** More than so many events without a sign of the reader are not sent. */
export const MOST_AHEAD = 2_000;

interface Said { readonly after: number; readonly position: number; readonly items: readonly Pick<LogEntry, 'text'>[] }

/** The JSON of a FeedMessage; the events are passed on as the log has them. */
export const messageText = (feedId: string, { after, position, items }: Said, end?: Fault): string =>
  `{"feedId":"${feedId}","after":${after},"position":${position},"events":[${items.map(({ text }) => text).join(',')}],"end":${end === undefined ? 'null' : JSON.stringify({ code: end.code, detail: end.detail, details: end.details })}}`;

/** What has been said and not yet been read. */
export class Ahead {
  private readonly said: { readonly position: number; readonly events: number }[] = [];
  private count = 0;

  say(position: number, events: number): void {
    if (events === 0) return;
    this.said.push({ position, events });
    this.count += events;
  }

  readUpTo(position: number): void {
    const unread = this.said.findIndex((message) => message.position > position);
    for (const { events } of this.said.splice(0, unread === -1 ? this.said.length : unread)) this.count -= events;
  }

  forget(): void {
    this.said.length = 0;
    this.count = 0;
  }

  get isFull(): boolean {
    return this.count >= MOST_AHEAD;
  }
}
