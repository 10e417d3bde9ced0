// Three who follow the log as the guides have it: by a feed on the bus, by a stream over HTTP, and by a webhook. Each keeps what it
// heard in the order it heard it, goes on by itself where it was when it is cut off, and repairs nothing.
import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NatsConnection, Subscription } from '@nats-io/transport-node';
import { createEventFeed, deleteEventFeed, FeedMessage, getEventFeed, listEvents, LoggedEvent, WebhookBody } from '#contracts';
import type { EventFilter, ReplyOf } from '#contracts';
import { askOnBus } from './bus-user.ts';
import { isCutOff, Refusal } from './rest.ts';
import type { Rest } from './rest.ts';

export type Heard = ReplyOf<typeof listEvents>['items'][number];

const PAUSE_MS = 50;
/** A server that is killed says nothing: it is asked again so much later. */
const timeoutMs = 5_000;

/** A reader of a feed. Its connection is its owner's, who wants one that comes back by itself where servers are killed. */
export class FeedFollower {
  readonly events: Heard[] = [];
  /** How many feeds it took: one, as long as none of them ended. */
  opened = 0;
  private feed: ReplyOf<typeof createEventFeed> | undefined;
  private subscription: Subscription | undefined;
  private saying: Promise<unknown> = Promise.resolve();
  private here = true;

  constructor(private readonly nats: NatsConnection, private readonly handle: string, public position: number, private readonly filter: EventFilter = {}) {}

  async open(): Promise<this> {
    await this.begin();
    void this.watch();
    return this;
  }

  private async begin(): Promise<void> {
    this.feed = await askOnBus(this.nats, this.handle, createEventFeed, { after: this.position, filter: this.filter }, { timeoutMs });
    this.opened += 1;
    this.subscription?.unsubscribe();
    this.subscription = this.nats.subscribe(this.feed.subject, { callback: (_error, message) => { this.take(message.json()); } });
    await this.tell({ again: true }); // it may have spoken before anybody listened
  }

  /** What was said while the connection was being made anew is lost. */
  private async watch(): Promise<void> {
    for await (const { type } of this.nats.status()) if (type === 'reconnect' && this.here) this.say({ again: true });
  }

  private take(given: unknown): void {
    const { after, position, events, end } = FeedMessage.parse(given);
    if (end !== null) this.saying = this.saying.then(() => (this.here ? this.begin() : undefined));
    else if (after > this.position) this.say({ again: true });
    else {
      this.events.push(...events.filter(({ globalSeq }) => globalSeq > this.position));
      this.position = Math.max(this.position, position);
      if (events.length > 0) this.say({});
    }
  }

  private say(over: { again?: true }): void {
    this.saying = this.saying.then(() => this.tell(over));
  }

  /** Says how far he is; a feed that has ended meanwhile is followed by another one. */
  private async tell(over: { again?: true }): Promise<void> {
    try {
      await askOnBus(this.nats, this.handle, getEventFeed, { feedId: this.feedId, read: this.position, ...over }, { timeoutMs });
    } catch (error) {
      if (!(error instanceof Refusal && error.code === 'NOT_FOUND')) throw error;
      if (this.here) await this.begin();
    }
  }

  private get feedId(): ReplyOf<typeof createEventFeed>['id'] {
    if (this.feed === undefined) throw new Error('the feed has not been opened');
    return this.feed.id;
  }

  /** Goes away in good order; `position` is where to go on. */
  async leave(): Promise<void> {
    if (!this.here) return;
    this.here = false;
    this.subscription?.unsubscribe();
    await this.saying;
    await askOnBus(this.nats, this.handle, deleteEventFeed, { feedId: this.feedId }, { timeoutMs });
  }
}

/** A client of the stream, which comes back with the last id that it has. */
export class StreamFollower {
  readonly events: Heard[] = [];
  /** Statuses other than 200, each once. */
  readonly refusals = new Set<number>();
  /** What came that is no event of the log, like the word that some are kept no longer. */
  readonly strange: string[] = [];
  private readonly gone = new AbortController();
  private readonly running: Promise<void>;

  constructor(private readonly door: Pick<Rest, 'url' | 'token'>, public lastEventId: number) {
    this.running = this.run();
  }

  private async run(): Promise<void> {
    const { signal } = this.gone;
    while (!signal.aborted) {
      // Cut off, it comes back. Anything else is a fault of what it was sent.
      await this.listen(signal).catch((error: unknown) => { if (!signal.aborted && !isCutOff(error)) this.strange.push(String(error)); });
      await sleep(PAUSE_MS);
    }
  }

  private async listen(signal: AbortSignal): Promise<void> {
    const answer = await fetch(new URL('/v1/events', this.door.url), { headers: { accept: 'text/event-stream', authorization: `Bearer ${this.door.token}`, 'last-event-id': String(this.lastEventId) }, signal });
    if (answer.status !== 200) this.refusals.add(answer.status);
    const decoder = new TextDecoder();
    let text = '';
    for await (const part of answer.body ?? []) {
      const blocks = (text + decoder.decode(part as Uint8Array, { stream: true })).split('\n\n');
      text = blocks.pop() ?? '';
      for (const block of blocks) this.take(block);
    }
  }

  private take(block: string): void {
    const [id, data] = [/^id: (\d+)$/m.exec(block)?.[1], /^data: (.*)$/m.exec(block)?.[1]];
    if (id === undefined || data === undefined) return; // a sign of life
    this.lastEventId = Number(id);
    const event = LoggedEvent.safeParse(JSON.parse(data));
    if (event.success) this.events.push(event.data);
    else this.strange.push(block);
  }

  async leave(): Promise<void> {
    this.gone.abort();
    await this.running;
  }
}

export interface Delivery { readonly id: string; /** Its id and what it carries: the same each time that it comes. */ readonly same: string; readonly signedWith: number; readonly answered: number; readonly test: boolean; readonly after: number; readonly position: number; readonly events: readonly Heard[] }

/** A receiver of webhooks on loopback. `answer` decides what each delivery gets; every one is kept as it came. */
export class Receiver {
  readonly deliveries: Delivery[] = [];
  /** The secrets that a signature may be made with, the oldest first. */
  readonly secrets: string[] = [];
  answer: (id: string) => number = () => 204;
  private readonly server: Server;

  constructor() {
    this.server = createServer((request, response) => {
      let body = '';
      request.setEncoding('utf8').on('data', (part: string) => { body += part; }).on('end', () => {
        const id = String(request.headers['webhook-id']);
        const answered = this.answer(id);
        const { test, after, position, events } = WebhookBody.parse(JSON.parse(body));
        const signed = `${id}.${String(request.headers['webhook-timestamp'])}.${body}`;
        const signatures = String(request.headers['webhook-signature']).split(' ');
        const signedWith = this.secrets.filter((secret) => signatures.includes(`v1,${createHmac('sha256', Buffer.from(secret.slice('whsec_'.length), 'base64')).update(signed).digest('base64')}`)).length;
        this.deliveries.push({ id, same: `${id} ${after}-${position}`, signedWith, answered, test, after, position, events });
        response.writeHead(answered).end();
      });
    }).listen(0, '127.0.0.1');
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/hook`;
  }

  /** What was taken, without repeats of a delivery: a receiver keeps the ids that it has had. */
  get events(): Heard[] {
    const had = new Set<string>();
    return this.deliveries.filter(({ id, answered }) => answered < 300 && !had.has(id) && had.add(id)).flatMap(({ events }) => events);
  }

  /** How far the last one that was taken reaches. */
  get position(): number {
    return this.deliveries.filter(({ answered, test }) => answered < 300 && !test).at(-1)?.position ?? 0;
  }

  close(): void {
    this.server.close();
    this.server.closeAllConnections();
  }
}

/** What the log has above `after` and up to `upTo`, for whoever asks. */
export async function logged(rest: Rest, after: number, upTo: number): Promise<Heard[]> {
  const found: Heard[] = [];
  for (let from = after; ;) {
    const { items } = await rest.ask(listEvents, { after: from, limit: 500 });
    found.push(...items.filter(({ globalSeq }) => globalSeq <= upTo));
    from = items.at(-1)?.globalSeq ?? upTo;
    if (items.length < 500 || from >= upTo) return found;
  }
}

export const endOfLog = async (rest: Rest): Promise<number> => (await rest.ask(listEvents, { latest: true, limit: 1 })).lastSeq;

/** One line per event, for comparing what two have heard. */
export const lines = (events: readonly Heard[], upTo = Infinity): string[] => events.filter(({ globalSeq }) => globalSeq <= upTo).map(({ globalSeq, source, seq, name, objectId }) => `${globalSeq} ${source} ${seq} ${name} ${objectId}`);
