// Takes published commands from the stream COMMANDS: several at once, each until its outcome is known. As long as one is held
// here the server hears that it is; what must wait, and what a process that died or stands still had, is delivered again,
// perhaps to another one, and holds nothing up behind it.
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { Consumer, ConsumerConfig, ConsumerMessages, JsMsg } from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import { sleep } from '#kernel';
import type { BusLog } from './context.ts';
import { atMost } from './deadline.ts';
import { header } from './headers.ts';
import { Lanes } from './lanes.ts';
import { COMMANDS_STREAM, ensureCommandStream, unlessGone, type CommandRoom } from './streams.nats.ts';

export interface PublishedCommand {
  readonly subject: string;
  readonly body: Uint8Array;
  /** Position in the stream; unique together with `publishedAt`. */
  readonly seq: number;
  /** When the server stored it, wall clock, ms. */
  readonly publishedAt: number;
  /** 1 at the first delivery. */
  readonly deliveries: number;
  readonly idempotencyKey: string;
  readonly traceparent: string;
  readonly dryRun: string;
}

/** `done` = its outcome is recorded and it may be forgotten; a number = deliver it again after so many ms. */
export type Verdict = 'done' | number;

export interface CommandTaker {
  readonly connection: NatsConnection;
  readonly log: BusLog;
  /** Durable: all replicas share what there is under it. */
  readonly name: string;
  readonly atOnce: number;
  /** Commands of one lane that this replica has are taken one after the other, in the order of publishing. */
  laneOf(command: PublishedCommand): string;
  /** Throwing means: deliver it again soon. */
  take(command: PublishedCommand): Promise<Verdict>;
  /** What the stream may hold before it refuses; default: what `ensureCommandStream` says. */
  readonly room?: CommandRoom;
  /** For tests, which cannot wait as long. */
  readonly ackWaitMs?: number;
}

interface Held {
  readonly message: JsMsg;
  readonly command: PublishedCommand;
}

/** A replica that the server has not heard of for so long is dead or stands still, and another one gets what it had. */
const ACK_WAIT_MS = 10_000;
/** Who is at work says so this often in that time, so a word may be lost. */
const WORDS_PER_WAIT = 4;
/** No command takes so long. Of one that does nobody says any more that it is worked on: the connection that it waits for may be dead. */
const STUCK_MS = 120_000;
/** Commands that wait for a service which is away are among them. */
const MOST_UNDER_WAY = 20_000;
/** Lanes beyond those at work: there is something to go on with while more is asked for. More is asked for when few of them are left. */
const READY_LANES = 32;
const FEW_LANES = 8;
/** A lane may be long, so it is commands that are bounded, and what they weigh. */
const MOST_HELD = 4_096;
const MOST_HELD_BYTES = 64 * 1024 * 1024;
const OUTAGE_MS = 1_000;

export class CommandConsumer {
  private readonly stopping = new AbortController();
  private readonly lanes: Lanes<Held>;
  private heldBytes = 0;
  private messages: ConsumerMessages | undefined;
  private loop: Promise<void> | undefined;
  private words: NodeJS.Timeout | undefined;

  constructor(private readonly taker: CommandTaker) {
    this.lanes = new Lanes(taker.atOnce, (held) => this.take(held));
  }

  start(): void {
    this.words ??= setInterval(() => { this.sayAtWork(); }, (this.taker.ackWaitMs ?? ACK_WAIT_MS) / WORDS_PER_WAIT);
    this.loop ??= this.run();
  }

  /**
   * Takes nothing new, gives back what has not begun, and waits for the rest, `graceMs` at most; what has not ended by then is
   * delivered again when the server has heard nothing of it for a while.
   */
  async stop(graceMs: number): Promise<void> {
    this.stopping.abort();
    this.messages?.stop();
    for (const { message, command } of this.lanes.drop()) {
      this.weigh(-command.body.length);
      this.say(() => { message.nak(); });
    }
    await this.loop;
    await atMost(graceMs, this.lanes.idle());
    clearInterval(this.words);
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      try {
        await this.listen();
      } catch (error) {
        if (!this.hasEnded()) this.taker.log.warn({ err: error }, 'published commands cannot be taken in; trying again');
      }
      await sleep(OUTAGE_MS, signal);
    }
  }

  private async listen(): Promise<void> {
    const { connection, name, atOnce, room, ackWaitMs } = this.taker;
    if (!(await ensureCommandStream(connection, room))) this.taker.log.warn({ ...room }, 'more commands of one user for one operation wait than half of what may; the limit stays as it was until a later start');
    const consumer = await ensureConsumer(connection, { ...wanted, durable_name: name, ack_wait: nanos(ackWaitMs ?? ACK_WAIT_MS) });
    while (!this.hasEnded()) {
      if (!this.hasRoom()) {
        await this.lanes.end();
        continue;
      }
      this.messages = await consumer.fetch({ max_messages: Math.min(atOnce + READY_LANES - this.lanes.busy, MOST_HELD - this.lanes.size), expires: 5_000, idle_heartbeat: 1_000 });
      if (this.hasEnded()) this.messages.stop();
      for await (const message of this.messages) this.hold(message);
    }
  }

  /** Asked for at once as much as there is room for: nothing that has been delivered waits where nobody says that it is in good hands. */
  private hasRoom(): boolean {
    return this.lanes.busy <= this.taker.atOnce + FEW_LANES && this.lanes.size < MOST_HELD && this.heldBytes < MOST_HELD_BYTES;
  }

  private hold(message: JsMsg): void {
    if (this.hasEnded()) {
      this.say(() => { message.nak(); });
      return;
    }
    const command = commandOf(message);
    this.weigh(command.body.length);
    this.lanes.add(this.taker.laneOf(command), { message, command });
  }

  private async take({ message, command }: Held): Promise<void> {
    let verdict: Verdict = OUTAGE_MS;
    try {
      verdict = await this.taker.take(command);
    } catch (error) {
      this.taker.log.error({ err: error, subject: command.subject, seq: command.seq }, 'a published command met an error that nobody expected; it will be taken again');
    }
    this.weigh(-command.body.length);
    this.say(() => {
      if (verdict === 'done') message.ack();
      else message.nak(verdict);
    });
  }

  private sayAtWork(): void {
    for (const { message } of this.lanes.moving(STUCK_MS)) this.say(() => { message.working(); });
  }

  /** What cannot be said because the connection is closed is as if nobody had taken the command. */
  private say(word: () => void): void {
    if (!this.taker.connection.isClosed()) word();
  }

  private weigh(bytes: number): void {
    this.heldBytes += bytes;
  }

  private hasEnded(): boolean {
    return this.stopping.signal.aborted;
  }
}

/** However often it must be delivered: an end comes from whoever takes it alone. */
const wanted = { ack_policy: AckPolicy.Explicit, deliver_policy: DeliverPolicy.All, max_ack_pending: MOST_UNDER_WAY, max_deliver: -1 } as const;

/** One that an older version has made is brought to what is written here. */
async function ensureConsumer(connection: NatsConnection, config: Partial<ConsumerConfig> & { readonly durable_name: string }): Promise<Consumer> {
  const { consumers } = await jetstreamManager(connection);
  const { durable_name: name } = config;
  if ((await unlessGone(consumers.info(COMMANDS_STREAM, name))) === undefined) await consumers.add(COMMANDS_STREAM, config); // adding one that is there and equal is no error
  else await consumers.update(COMMANDS_STREAM, name, config);
  return jetstream(connection).consumers.get(COMMANDS_STREAM, name);
}

const commandOf = (message: JsMsg): PublishedCommand => ({
  subject: message.subject, body: message.data, seq: message.seq, publishedAt: Math.floor(message.info.timestampNanos / 1_000_000), deliveries: message.info.deliveryCount,
  idempotencyKey: message.headers?.get(header.idempotencyKey) ?? '', traceparent: message.headers?.get(header.traceparent) ?? '',
  dryRun: message.headers?.get(header.dryRun) ?? '',
});
