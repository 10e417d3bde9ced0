// The feeds that this gateway serves. Rows say which there are: those that nobody serves are taken up where their reader is, and
// those that are over are let go. A gateway that dies keeps none of them for longer than HOLD_MS.
import type { NatsConnection } from '@nats-io/transport-node';
import type { DataSource } from 'typeorm';
import type { BusClient, BusLog } from '#bus';
import type { GatewayConfig } from '#config';
import { FeedEnded } from '#contracts';
import { newUuid, sleep } from '#kernel';
import type { Fault } from '#kernel';
import type { Door, Parts } from '#service';
import type { EventTail } from '../events/event-tail.client.ts';
import type { SharedGates } from '../rest/admission.ts';
import { deleteFeed, holdFeeds, openOf, purgeFeeds, releaseFeeds } from './feed.store.ts';
import type { Served } from './feed.store.ts';
import { Feed } from './feed.worker.ts';

export interface FeedsParts {
  readonly db: DataSource;
  readonly nats: NatsConnection;
  readonly bus: BusClient;
  readonly tail: EventTail;
  readonly gates: SharedGates;
  readonly log: BusLog;
}

const HOLD_MS = 6_000;
const LOOK_MS = 1_500;
const mostAtOnce = 2_000;
const graceMs = 2_000;
const over = FeedEnded.fault('Nobody said any more that he reads this feed, or it was deleted. Make another one with `after` = the position you have got to.');

export class Feeds {
  private readonly holder = newUuid();
  private readonly feeds = new Map<string, Feed>();
  private readonly stopping = new AbortController();
  private pause = new AbortController();
  private looking: Promise<void> | undefined;
  private heldUntil = 0;
  private forget: (() => void) | undefined;

  constructor(private readonly parts: FeedsParts) {}

  get count(): number {
    return this.feeds.size;
  }

  open(): void {
    const { gates, nats } = this.parts;
    this.forget = gates.callers.onChange((userId) => {
      for (const feed of this.feeds.values()) if (userId === undefined || feed.userId === userId) feed.wake();
    });
    void this.watch(nats);
    this.looking = this.look();
  }

  async close(): Promise<void> {
    this.stopping.abort();
    this.pause.abort();
    this.forget?.();
    await this.looking;
    await Promise.race([Promise.all([...this.feeds.values()].map((feed) => feed.stop())), sleep(graceMs)]);
    this.feeds.clear();
    await releaseFeeds(this.parts.db, this.holder).catch((error: unknown) => { this.parts.log.warn({ err: error }, 'feeds could not be handed on; another gateway takes them in a while'); });
  }

  /** The rows have changed. */
  poke(): void {
    this.pause.abort();
  }

  /** False = another gateway serves it. */
  note(feedId: string, read: number | undefined): boolean {
    const feed = this.feeds.get(feedId);
    if (read !== undefined) feed?.note(read);
    return feed !== undefined;
  }

  update(row: Served): void {
    this.feeds.get(row.id)?.update(row);
  }

  private async look(): Promise<void> {
    const { db, log } = this.parts;
    while (!this.stopping.signal.aborted) {
      this.pause = new AbortController();
      try {
        const askedAt = performance.now();
        const rows = await holdFeeds(db, this.holder, HOLD_MS, mostAtOnce);
        this.heldUntil = askedAt + HOLD_MS;
        await this.serve(rows);
        await purgeFeeds(db);
      } catch (error) {
        log.warn({ err: error }, 'the feeds of users cannot be looked after; trying again');
        if (performance.now() > this.heldUntil) for (const id of [...this.feeds.keys()]) this.leave(id);
      }
      await sleep(LOOK_MS, AbortSignal.any([this.pause.signal, this.stopping.signal]));
    }
  }

  private async serve(rows: readonly Served[]): Promise<void> {
    const wanted = new Set<string>(rows.map(({ id }) => id));
    const gone = [...this.feeds.keys()].filter((id) => !wanted.has(id));
    // One that another gateway has taken up goes on there, and is not told to be over.
    const elsewhere = gone.length === 0 ? new Set<string>() : await openOf(this.parts.db, gone);
    for (const id of gone) this.leave(id, elsewhere.has(id) ? undefined : over);
    for (const row of rows) {
      const known = this.feeds.get(row.id);
      if (known !== undefined) known.update(row);
      else this.begin(row);
    }
  }

  private begin(row: Served): void {
    const { gates, ...parts } = this.parts;
    const feed = new Feed({ ...parts, gates: { ...gates, closing: () => false }, onEnd: (ended) => { void this.end(ended); } }, row);
    this.feeds.set(row.id, feed);
    feed.start();
  }

  private leave(id: string, why?: Fault): void {
    void this.feeds.get(id)?.stop(why);
    this.feeds.delete(id);
  }

  /** Dies before the row is gone: the feed is taken up again, and ends again. */
  private async end(feed: Feed): Promise<void> {
    try {
      await deleteFeed(this.parts.db, feed.id);
      this.feeds.delete(feed.id);
    } catch (error) {
      this.parts.log.warn({ err: error, feed: feed.id }, 'a feed that has ended could not be removed; its lease ends it');
    }
  }

  /** What was said while the connection was away is perhaps lost. */
  private async watch(nats: NatsConnection): Promise<void> {
    for await (const { type } of nats.status()) {
      if (type === 'reconnect') for (const feed of this.feeds.values()) feed.rewind();
    }
  }
}

export function feedsDoor({ get, metrics, log }: Parts<GatewayConfig>): Door {
  const feeds = get(Feeds);
  return {
    name: 'feeds',
    open() {
      feeds.open();
      metrics.gauge('tokamak_event_feeds_open', 'Feeds of bus users that this door serves', () => feeds.count);
      log.info({}, 'feeds of users are served');
      return Promise.resolve();
    },
    close: () => feeds.close(),
  };
}
