// Takes in other services' events once each and in order. The position per source is stored in the transaction of the
// effect; what JetStream lost, dropped or never had is asked from the owner by number. Only events of nouns that it has a use for
// come to a consumer.
import { AckPolicy, DeliverPolicy, jetstream, JetStreamApiError, jetstreamManager } from '@nats-io/jetstream';
import type { ConsumerMessages, JsMsg } from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import type { DataSource, EntityManager } from 'typeorm';
import { stopWhenGone } from '#bus';
import type { EventEnvelope, ServiceName } from '#contracts';
import { EventEnvelope as Envelope } from '#contracts';
import { execute, executeLater, selectRow, transaction } from '#database';
import { FaultError } from '#kernel';
import { holdLease, releaseLease } from './lease.store.ts';
import type { TaskLog } from './kind.ts';
import { batchesOf } from './batches.ts';
import { BEFORE, lastWantedBefore, nounsOf } from './event-order.ts';
import { Loop } from './loop.ts';
import type { EventsAnswer } from './outbox.store.ts';
import { processName } from './process-name.proc.ts';

/** What a service does with other services' events. */
export type EventConsumer = ConsumerParts & (ByEvent | ByBatch);

interface ByEvent {
  /** In the transaction that moves the position, perhaps with others. Throwing leaves the event to be taken again. */
  handle(tx: EntityManager, event: EventEnvelope): Promise<void>;
}

interface ByBatch {
  /** The same for all that are there at once, in order. */
  handleAll(tx: EntityManager, events: readonly EventEnvelope[]): Promise<void>;
}

interface ConsumerParts {
  /** Durable; never changed: positions are kept under it. */
  readonly name: string;
  readonly sources: readonly ServiceName[];
  /** Event names, `*` for one part: `compute.vm.*`. Left out = all events of the sources. */
  readonly filters?: readonly string[];
  /** Event names that are passed over all the same. */
  readonly except?: readonly string[];
  /** Called when the owner no longer has events that this consumer has not seen (kept for seven days); in the transaction that moves on behind them. */
  onLost?(tx: EntityManager, source: ServiceName, fromSeq: number, toSeq: number): Promise<void>;
}

export type ConsumeOptions = EventConsumer & ConsumeParts;

interface ConsumeParts {
  readonly nats: NatsConnection;
  readonly db: DataSource;
  readonly log: TaskLog;
  readonly stream: string;
  readonly ensureStreams: (nats: NatsConnection) => Promise<void>;
  /** Asks the owner: `<source>.events.read`; `nouns`: for those alone, which an owner may not understand and answer with all. */
  readonly readEvents: (source: ServiceName, afterSeq: number, limit: number, nouns: readonly string[] | undefined) => Promise<EventsAnswer>;
  /** How often the owners are asked although nothing seems to be missing, ms. */
  readonly askEveryMs?: number;
  readonly leaseMs?: number;
}

export interface Consumption {
  stop(): Promise<void>;
}

const PAGE = 500;
/** Taken in one transaction, when they are there at once. */
const BATCH = 50;
/** So many events that nobody wants are passed over in memory before the position is written. */
const PASSED_OVER = 1_000;
const OUTAGE_MS = 1_000;
const utf8 = new TextDecoder();

/** `before`: the number up to which whoever takes it must have all that it wants. */
interface Heard { readonly event: EventEnvelope; readonly before: number }

export function consumeEvents(options: ConsumeOptions): Consumption {
  const consumer = new Consumer(options);
  consumer.start();
  return consumer;
}

class Consumer implements Consumption {
  private readonly loop: Loop;
  private readonly holder = `consumer:${processName()}`;
  private readonly leaseName: string;
  private readonly leaseMs: number;
  private readonly askEveryMs: number;
  private readonly wanted: (name: string) => boolean;
  /** What it hears of; undefined = of everything. */
  private readonly nouns: ReadonlySet<string> | undefined;
  private messages: ConsumerMessages | undefined;
  private stopping = false;
  /** Up to here everything has been taken or is not wanted. May be ahead of what is stored: what is read again then has no effect. */
  private readonly reached = new Map<ServiceName, number>();
  private readonly unstored = new Set<ServiceName>();

  constructor(private readonly options: ConsumeOptions) {
    this.leaseName = `consumer:${options.name}`;
    this.leaseMs = options.leaseMs ?? 10_000;
    this.askEveryMs = options.askEveryMs ?? 30_000;
    const [wanted, unwanted] = [filterOf(options.filters), filterOf(options.except ?? [])];
    this.wanted = (name) => wanted(name) && !unwanted(name);
    this.nouns = nounsOf(options.filters);
    this.loop = new Loop((signal) => this.turn(signal), (error) => {
      options.log.warn({ err: error, consumer: options.name }, 'events could not be taken in; trying again');
      return OUTAGE_MS;
    });
  }

  start(): void {
    this.loop.start();
  }

  async stop(): Promise<void> {
    this.stopping = true;
    this.messages?.stop();
    await this.loop.stop();
  }

  /** One tenure: while this replica holds the lease, it alone takes events in, so they come in order. */
  private async turn(signal: AbortSignal): Promise<number> {
    const { db } = this.options;
    const lease = await holdLease(db, this.leaseName, this.holder, this.leaseMs);
    if (lease === null) return this.leaseMs / 3;
    const renewal = setInterval(() => { void this.renew(); }, this.leaseMs / 3);
    try {
      await this.options.ensureStreams(this.options.nats);
      await this.listen(signal);
    } finally {
      clearInterval(renewal);
      if (this.stopping) await releaseLease(db, lease);
    }
    return 0;
  }

  private async renew(): Promise<void> {
    try {
      if ((await holdLease(this.options.db, this.leaseName, this.holder, this.leaseMs)) === null) this.messages?.stop();
    } catch (error) {
      this.options.log.warn({ err: error, consumer: this.options.name }, 'the lease of a consumer could not be renewed');
    }
  }

  private async listen(signal: AbortSignal): Promise<void> {
    const { nats, db, stream, name, sources } = this.options;
    // The rows whose lock keeps two takers apart; there before the first of them is needed.
    for (const source of sources) await execute(db, 'INSERT IGNORE INTO consumer_position (consumer, source, last_seq) VALUES (?, ?, 0)', [name, source]);
    await this.ensureConsumer();
    // What was missed while nobody listened, also when the stream was made anew. An owner who is away holds up nobody else's.
    await Promise.all(sources.map((source) => this.tryCatchUp(source)));
    const consumer = await jetstream(nats).consumers.get(stream, name);
    const messages = await consumer.consume({ max_messages: 100, expires: 5_000, idle_heartbeat: 1_000 });
    this.messages = messages;
    const asking = setInterval(() => { messages.stop(); }, this.askEveryMs);
    void stopWhenGone(messages);
    try {
      if (signal.aborted) return;
      for await (const batch of batchesOf(messages, BATCH)) {
        await this.takeAll(batch);
        if (this.stopping) break;
      }
    } finally {
      clearInterval(asking);
      messages.stop();
      await this.storeReached();
    }
  }

  /** One word for all that it has delivered: what counts is the stored position, and what is missing is asked from its owner. */
  private async ensureConsumer(): Promise<void> {
    const { nats, stream, name, sources } = this.options;
    const { consumers } = await jetstreamManager(nats);
    const add = (): Promise<unknown> => consumers.add(stream, {
      durable_name: name, ack_policy: AckPolicy.All, deliver_policy: DeliverPolicy.All, ack_wait: nanos(30_000),
      filter_subjects: sources.flatMap((source) => (this.nouns === undefined ? [`tok.v1.evt.${source}.>`] : [...this.nouns].map((noun) => `tok.v1.evt.${source}.${noun}.>`))),
    });
    try {
      await add();
    } catch (error) {
      if (!(error instanceof JetStreamApiError)) throw error;
      // One of an earlier version, which cannot be changed into this: made anew, it delivers again what is known here.
      await consumers.delete(stream, name);
      await add();
    }
  }

  /** What came together is taken in together. */
  private async takeAll(messages: readonly JsMsg[]): Promise<void> {
    const events: Heard[] = [];
    for (const message of messages) {
      const event = parse(message.data, this.wanted);
      if (event !== null && this.options.sources.some((source) => source === event.source)) events.push({ event, before: lastWantedBefore(event.seq, message.headers?.get(BEFORE), this.nouns) });
      // Never becomes readable: holding it up would hold up everything behind it.
      else this.options.log.error({ subject: message.subject }, 'a message on the event stream is no event');
    }
    while (events.length > 0) {
      const taken = await this.applySome(events);
      const [gap] = events.splice(0, taken + 1).slice(taken);
      if (gap !== undefined && !(await this.tryCatchUp(gap.event.source as ServiceName))) this.lookAgain();
    }
    messages.at(-1)?.ack();
  }

  /** Soon, from the beginning: with the question what is missing. */
  private lookAgain(): void {
    const { messages } = this;
    setTimeout(() => { messages?.stop(); }, OUTAGE_MS).unref();
  }

  /** Answers how many were taken before a gap. One that cannot be taken keeps none of those before it from it. */
  private async applySome(events: readonly Heard[]): Promise<number> {
    try {
      return await this.apply(events);
    } catch (error) {
      if (events.length === 1) throw error;
      let taken = 0;
      for (const event of events) {
        if ((await this.apply([event])) === 0) return taken;
        taken += 1;
      }
      return taken;
    }
  }

  /** False when the owner does not answer now; its events are asked for again with the next one, or at the next look. */
  private async tryCatchUp(source: ServiceName): Promise<boolean> {
    try {
      await this.catchUp(source);
      return true;
    } catch (error) {
      if (!(error instanceof FaultError)) throw error;
      this.options.log.debug({ source, fault: error.fault.code, consumer: this.options.name }, 'an owner of events does not answer');
      return false;
    }
  }

  /** Asks the owner for everything behind the stored position. */
  private async catchUp(source: ServiceName): Promise<void> {
    for (;;) {
      const after = await this.position(source);
      const { events, firstSeq, lastSeq, upTo } = await this.options.readEvents(source, after, PAGE, this.nouns && [...this.nouns]);
      if (firstSeq > after + 1) await this.skip(source, after, firstSeq - 1);
      const heard = events.map((event) => ({ event, before: after }));
      for (let at = 0; at < heard.length; at += BATCH) await this.applySome(heard.slice(at, at + BATCH));
      await this.pass(source, upTo);
      if (upTo >= lastSeq) return;
    }
  }

  private async position(source: ServiceName): Promise<number> {
    const row = await selectRow<{ last_seq: number | string }>(this.options.db, 'SELECT last_seq FROM consumer_position WHERE consumer = ? AND source = ?', [this.options.name, source]);
    return Math.max(Number(row?.last_seq ?? 0), this.reached.get(source) ?? 0);
  }

  private async skip(source: ServiceName, after: number, last: number): Promise<void> {
    if (last <= after) return;
    const fresh = after === 0;
    if (!fresh) {
      this.options.log.error({ source, fromSeq: after + 1, toSeq: last }, 'events were lost for ever: their owner keeps them no longer');
    }
    const { db } = this.options;
    await transaction(db, async (tx) => {
      if ((await this.lockedPosition(tx, source)) >= last) return;
      if (!fresh) await this.options.onLost?.(tx, source, after + 1, last);
      await this.move(tx, source, last);
    });
  }

  /** Effects and positions in one transaction. Answers how many of the events it has taken, or knew, before one in front of which another is missing. */
  private async apply(events: readonly Heard[]): Promise<number> {
    if (!events.some(({ event }) => this.wanted(event.name))) return this.passOver(events);
    const { taken, reached } = await transaction(this.options.db, async (tx) => {
      const reached = new Map<ServiceName, number>();
      const wanted: EventEnvelope[] = [];
      let taken = 0;
      for (const { event, before } of events) {
        const source = event.source as ServiceName;
        const last = reached.get(source) ?? (await this.lockedPosition(tx, source));
        if (before > last) break;
        if (event.seq > last && this.wanted(event.name)) wanted.push(event);
        reached.set(source, Math.max(last, event.seq));
        taken += 1;
      }
      if (wanted.length > 0) await this.handle(tx, wanted);
      for (const [source, seq] of reached) await this.move(tx, source, seq);
      return { taken, reached };
    });
    for (const [source, seq] of reached) this.reached.set(source, seq);
    return taken;
  }

  private async handle(tx: EntityManager, events: readonly EventEnvelope[]): Promise<void> {
    const { options } = this;
    if ('handleAll' in options) return options.handleAll(tx, events);
    for (const event of events) await options.handle(tx, event);
  }

  private async lockedPosition(tx: EntityManager, source: ServiceName): Promise<number> {
    const row = await selectRow<{ last_seq: number | string }>(tx, 'SELECT last_seq FROM consumer_position WHERE consumer = ? AND source = ? FOR UPDATE', [this.options.name, source]);
    return Math.max(Number(row?.last_seq ?? 0), this.reached.get(source) ?? 0);
  }

  /** Most events are not wanted here, and a transaction for each would cost more than all that are. */
  private async passOver(events: readonly Heard[]): Promise<number> {
    for (const [index, { event, before }] of events.entries()) {
      const source = event.source as ServiceName;
      const reached = this.reached.get(source) ?? 0;
      const last = before <= reached ? reached : await this.position(source);
      if (before > last) return index;
      await this.pass(source, event.seq);
    }
    return events.length;
  }

  /** Up to there nothing is wanted that has not been taken. */
  private async pass(source: ServiceName, seq: number): Promise<void> {
    const reached = this.reached.get(source) ?? 0;
    if (seq <= reached) return;
    this.reached.set(source, seq);
    this.unstored.add(source);
    if (Math.floor(seq / PASSED_OVER) > Math.floor(reached / PASSED_OVER)) await this.storeReached();
  }

  private async storeReached(): Promise<void> {
    for (const source of this.unstored) {
      await transaction(this.options.db, (tx) => this.move(tx, source, this.reached.get(source) ?? 0));
      this.unstored.delete(source);
    }
  }

  private async move(tx: EntityManager, source: ServiceName, seq: number): Promise<void> {
    await executeLater(tx, 'UPDATE consumer_position SET last_seq = GREATEST(last_seq, ?) WHERE consumer = ? AND source = ?', [seq, this.options.name, source]);
  }
}

function filterOf(filters: readonly string[] | undefined): (name: string) => boolean {
  if (filters === undefined) return () => true;
  const forms = filters.map((filter) => filter.split('.'));
  return (name) => {
    const parts = name.split('.');
    return forms.some((form) => form.length === parts.length && form.every((part, index) => part === '*' || part === parts[index]));
  };
}

/** What nobody wants is looked at no closer than passing it over needs. */
function parse(data: Uint8Array, wanted: (name: string) => boolean): EventEnvelope | null {
  try {
    const read = JSON.parse(utf8.decode(data)) as EventEnvelope | null;
    if (read !== null && typeof read.name === 'string' && Number.isSafeInteger(read.seq) && !wanted(read.name)) return read;
    const parsed = Envelope.safeParse(read);
    return parsed.success ? parsed.data : null;
  } catch {
    // The caller says so in the log.
    return null;
  }
}
