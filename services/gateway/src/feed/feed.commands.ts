// Feeds of the acting user: made, kept open, ended.
import { Inject, Injectable } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import type { BusClient, BusContext } from '#bus';
import { createEventFeed, deleteEventFeed, eventsGone, isGone, NotFound, RateLimited, readEventLog, Unauthenticated } from '#contracts';
import type { Actor, getEventFeed, InputOf, listEventFeeds, ReplyOf } from '#contracts';
import { afterCommit } from '#database';
import { failed, FaultError, newUuid, ok } from '#kernel';
import type { Result } from '#kernel';
import { Bus, Db } from '#service';
import { runCommand } from '#tasks';
import { countFeeds, deleteFeed, findFeed, insertFeed, keepOpen, pageOfFeeds } from './feed.store.ts';
import type { Shown } from './feed.store.ts';
import { Feeds } from './feeds.door.ts';

const mostPerUser = 20;
/** A reader who says after each message how far he is costs no write each time. */
const writeEveryMs = 1_000;

function actorOf({ actor }: BusContext): Actor {
  if (actor === null) throw new FaultError(Unauthenticated.fault('Feeds belong to users; sign in first.'));
  return actor;
}

@Injectable()
export class FeedCommands {
  private readonly written = new Map<string, number>();

  constructor(@Inject(Db) private readonly db: DataSource, @Inject(Bus) private readonly bus: BusClient, @Inject(Feeds) private readonly feeds: Feeds) {}

  async create(input: InputOf<typeof createEventFeed>, ctx: BusContext): Promise<Result<Shown>> {
    const { userId, handle } = actorOf(ctx);
    const { after, filter, leaseMs } = input;
    const read = await this.begin(after, filter, ctx);
    if (!read.ok) return read;
    return runCommand(this.db, { ctx, operation: createEventFeed, input }, async (tx) => {
      const mine = await countFeeds(tx, userId);
      if (mine >= mostPerUser) return RateLimited.fail(`You have ${mine} feeds open already.`, { retryAfterMs: 10_000 });
      const id = newUuid();
      await insertFeed(tx, { id, userId, handle, filter, read: read.value, leaseMs });
      const feed = await findFeed(tx, id, userId);
      if (feed === undefined) throw new Error('a feed vanished in the transaction that made it');
      afterCommit(tx, () => { this.feeds.poke(); });
      return ok(feed.shown);
    });
  }

  /** Where it begins, if that is still kept. */
  private async begin(after: number | undefined, filter: InputOf<typeof createEventFeed>['filter'], ctx: BusContext): Promise<Result<number>> {
    const answer = await this.bus.request(readEventLog, { filter, ...(after === undefined ? {} : { after, limit: 1 }) }, { ctx });
    if (!answer.ok) return answer;
    if (after === undefined) return ok(answer.value.position);
    return isGone(after, answer.value.firstSeq) ? failed(eventsGone(after, answer.value)) : ok(after);
  }

  async get({ feedId, read, again }: InputOf<typeof getEventFeed>, ctx: BusContext): Promise<Result<Shown>> {
    const { userId } = actorOf(ctx);
    const feed = await findFeed(this.db, feedId, userId);
    if (feed === undefined) return this.missing(feedId);
    if (!again && this.feeds.note(feedId, read) && !this.isToWrite(feedId)) return ok({ ...feed.shown, read: Math.max(feed.shown.read, read ?? 0) });
    await keepOpen(this.db, feedId, { read, again });
    const kept = await findFeed(this.db, feedId, userId);
    if (kept === undefined) return this.missing(feedId);
    // Another gateway learns of it from the row.
    this.feeds.update(kept.served);
    return ok(kept.shown);
  }

  private isToWrite(feedId: string): boolean {
    const now = performance.now();
    if (now - (this.written.get(feedId) ?? -Infinity) < writeEveryMs) return false;
    if (this.written.size > 10_000) this.written.clear();
    this.written.set(feedId, now);
    return true;
  }

  async list(input: InputOf<typeof listEventFeeds>, ctx: BusContext): Promise<Result<ReplyOf<typeof listEventFeeds>>> {
    const page = await pageOfFeeds(this.db, actorOf(ctx).userId, input);
    return page.ok ? ok({ items: page.value.rows, next: page.value.next }) : page;
  }

  delete(input: InputOf<typeof deleteEventFeed>, ctx: BusContext): Promise<Result<ReplyOf<typeof deleteEventFeed>>> {
    const { userId } = actorOf(ctx);
    return runCommand(this.db, { ctx, operation: deleteEventFeed, input }, async (tx): Promise<Result<ReplyOf<typeof deleteEventFeed>>> => {
      if ((await findFeed(tx, input.feedId, userId)) === undefined) return this.missing(input.feedId);
      await deleteFeed(tx, input.feedId);
      afterCommit(tx, () => { this.feeds.poke(); });
      return ok({});
    });
  }

  private missing(id: string): Result<never> {
    return NotFound.fail('You have no feed with this id; it may have ended, because nobody said that he reads it.', { noun: 'event-feed', id });
  }
}
