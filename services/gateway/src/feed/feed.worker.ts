// One feed while this gateway serves it: hears the log with its user's rights of the moment and speaks on its subject. It ends
// when it is told to, when its user may no longer, or when what he wants is gone; then it says why.
import type { NatsConnection } from '@nats-io/transport-node';
import type { BusLog } from '#bus';
import { createEventFeed, DeadlineExceeded, RateLimited, Unavailable } from '#contracts';
import { sleep } from '#kernel';
import type { Fault, Result } from '#kernel';
import type { Caller } from '../caller/callers.client.ts';
import { EventCursor } from '../events/event-cursor.client.ts';
import { admit } from '../rest/admission.ts';
import type { Gates } from '../rest/admission.ts';
import type { EventTail } from '../events/event-tail.client.ts';
import { Ahead, messageText } from './feed.ts';
import type { Served } from './feed.store.ts';

export interface FeedParts {
  readonly nats: NatsConnection;
  readonly bus: ConstructorParameters<typeof EventCursor>[0]['bus'];
  readonly tail: EventTail;
  readonly gates: Gates;
  readonly log: BusLog;
  /** Told once when the feed ends by itself; its row then goes. */
  readonly onEnd: (feed: Feed) => void;
}

/** It says how far it is at least so often. */
const aliveMs = 10_000;
const outageMs = 500;
const passes: ReadonlySet<string> = new Set([Unavailable.code, DeadlineExceeded.code, RateLimited.code]);
/** What is pushed is no request of the user's. */
const unlimited = { take: () => 0 };

export class Feed {
  private readonly cursor: EventCursor;
  private readonly ahead = new Ahead();
  private readonly ending = new AbortController();
  private pause = new AbortController();
  private rewinds: number;
  private running: Promise<void> | undefined;
  /** Set while what is being waited for is no longer wanted from there. */
  private rewindTo: number | undefined;

  constructor(private readonly parts: FeedParts, private readonly row: Served) {
    this.cursor = new EventCursor(parts, row.filter, row.read);
    this.read = row.read;
    this.rewinds = row.rewinds;
  }

  /** How far the reader is. */
  read: number;

  get id(): string {
    return this.row.id;
  }

  get userId(): string {
    return this.row.userId;
  }

  start(): void {
    this.running ??= this.run();
  }

  /** What the row says: the sign may have come to another gateway. */
  update({ read, rewinds }: Pick<Served, 'read' | 'rewinds'>): void {
    if (rewinds === this.rewinds) this.note(read);
    if (rewinds <= this.rewinds) return;
    this.rewinds = rewinds;
    this.read = read;
    this.rewind();
  }

  /** The reader is so far. */
  note(read: number): void {
    if (read <= this.read) return;
    this.read = Math.min(read, this.cursor.at ?? read);
    this.ahead.readUpTo(this.read);
    this.wake();
  }

  /** What was said may be lost: it is said again from where the reader is known to be. */
  rewind(): void {
    this.rewindTo = this.read;
    this.wake();
  }

  /** Its user may have changed, or its reader has given a sign. */
  wake(): void {
    this.pause.abort();
  }

  /** `why` undefined = another gateway goes on with it. */
  async stop(why?: Fault): Promise<void> {
    if (why !== undefined && !this.ending.signal.aborted) this.sayLast(why);
    this.ending.abort();
    await this.running;
  }

  private async run(): Promise<void> {
    const leave = this.parts.tail.follow();
    this.say({ after: this.read, position: this.read, items: [] });
    try {
      while (!this.ending.signal.aborted) await this.turn().catch((error: unknown) => this.stumble(error));
    } finally {
      leave();
    }
  }

  private async stumble(error: unknown): Promise<void> {
    this.parts.log.error({ err: error, feed: this.id }, 'a feed met an error that nobody expected; it goes on where its reader is');
    this.rewindTo = this.read;
    await sleep(outageMs, this.ending.signal);
  }

  private async turn(): Promise<void> {
    this.pause = new AbortController();
    const waiting = AbortSignal.any([this.pause.signal, this.ending.signal]);
    const caller = await this.caller();
    if (this.rewindTo !== undefined) {
      this.cursor.moveTo(this.rewindTo);
      this.ahead.forget();
      this.rewindTo = undefined;
    }
    if (caller.ok && this.ahead.isFull) {
      await this.stand(waiting);
      return;
    }
    const heard = caller.ok ? await this.cursor.next(caller.value, aliveMs, waiting) : caller;
    // What was heard belongs behind what is no longer wanted from there.
    if (this.ending.signal.aborted || this.hasRewound()) return;
    if (!heard.ok) await this.refused(heard.fault, waiting);
    else if (heard.value.gone !== undefined) this.end(heard.value.gone);
    else if (heard.value.items.length > 0 || !waiting.aborted) this.say(heard.value);
    else this.cursor.moveTo(heard.value.after);
  }

  private async refused(fault: Fault, waiting: AbortSignal): Promise<void> {
    if (passes.has(fault.code)) await sleep(outageMs, waiting);
    else this.end(fault);
  }

  /** Far enough ahead of the reader; he is told that it is there. */
  private async stand(waiting: AbortSignal): Promise<void> {
    await sleep(aliveMs, waiting);
    const at = this.cursor.at ?? this.read;
    if (!waiting.aborted) this.say({ after: at, position: at, items: [] });
  }

  private hasRewound(): boolean {
    return this.rewindTo !== undefined;
  }

  private async caller(): Promise<Result<Caller>> {
    const { gates } = this.parts;
    const found = await gates.callers.resolveHandle(this.row.user);
    return found.ok ? admit({ ...gates, byUser: unlimited }, found.value, createEventFeed) : found;
  }

  private say(said: Parameters<typeof messageText>[1], why?: Fault): void {
    const { nats, log } = this.parts;
    try {
      nats.publish(this.row.subject, messageText(this.id, said, why));
    } catch (error) {
      // The connection is closing; what was not said is said by whoever goes on with the feed.
      log.debug({ err: error, feed: this.id }, 'a feed cannot speak');
    }
    this.ahead.say(said.position, said.items.length);
  }

  private sayLast(why: Fault): void {
    const at = this.cursor.at ?? this.read;
    this.say({ after: at, position: at, items: [] }, why);
  }

  private end(why: Fault): void {
    this.sayLast(why);
    this.ending.abort();
    this.parts.onEnd(this);
  }
}
