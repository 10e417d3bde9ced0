// Takes published commands from the stream COMMANDS: several at once, each until its outcome is known. What is not
// acknowledged, because it must wait or because the process dies, is delivered again and holds nothing up behind it.
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { ConsumerMessages, JsMsg } from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import { sleep } from '#kernel';
import type { BusLog } from './context.ts';
import { header } from './headers.ts';
import { COMMANDS_STREAM, ensureCommandStream, stopWhenGone } from './streams.nats.ts';

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
  /** Commands of one lane are taken one after the other, in the order of publishing. */
  laneOf(command: PublishedCommand): string;
  /** Throwing means: deliver it again soon. */
  take(command: PublishedCommand): Promise<Verdict>;
}

/** Longer than any command takes; one that was taken twice all the same has one effect. */
const ACK_WAIT_MS = 60_000;
/** Commands that wait for a service which is away are among them. */
const MOST_UNDER_WAY = 20_000;
const OUTAGE_MS = 1_000;

export class CommandConsumer {
  private readonly stopping = new AbortController();
  private readonly running = new Set<Promise<void>>();
  /** The last command of each lane that is under way. */
  private readonly lanes = new Map<string, Promise<void>>();
  private messages: ConsumerMessages | undefined;
  private loop: Promise<void> | undefined;

  constructor(private readonly taker: CommandTaker) {}

  start(): void {
    this.loop ??= this.run();
  }

  /** Takes nothing new and waits for what is under way, `graceMs` at most; the rest is delivered to another replica. */
  async stop(graceMs: number): Promise<void> {
    this.stopping.abort();
    this.messages?.stop();
    const ended = new AbortController();
    const all = Promise.all(this.running).then(() => { ended.abort(); });
    await Promise.race([all, sleep(graceMs, ended.signal)]);
    ended.abort();
    await this.loop;
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
    const { connection, name, atOnce } = this.taker;
    await ensureCommandStream(connection);
    const manager = await jetstreamManager(connection);
    await manager.consumers.add(COMMANDS_STREAM, {
      durable_name: name, ack_policy: AckPolicy.Explicit, deliver_policy: DeliverPolicy.All, ack_wait: nanos(ACK_WAIT_MS), max_ack_pending: MOST_UNDER_WAY,
    });
    const consumer = await jetstream(connection).consumers.get(COMMANDS_STREAM, name);
    const messages = await consumer.consume({ max_messages: atOnce, expires: 5_000, idle_heartbeat: 1_000 });
    this.messages = messages;
    if (this.hasEnded()) messages.stop();
    void stopWhenGone(messages);
    for await (const message of messages) {
      const taken = this.inLane(message).finally(() => { this.running.delete(taken); });
      this.running.add(taken);
      if (this.running.size >= atOnce) await Promise.race(this.running);
      if (this.hasEnded()) break;
    }
  }

  private async inLane(message: JsMsg): Promise<void> {
    const command = commandOf(message);
    const lane = this.taker.laneOf(command);
    const taken = (this.lanes.get(lane) ?? Promise.resolve()).then(() => this.take(message, command));
    this.lanes.set(lane, taken);
    await taken;
    if (this.lanes.get(lane) === taken) this.lanes.delete(lane);
  }

  private async take(message: JsMsg, command: PublishedCommand): Promise<void> {
    try {
      const verdict = await this.taker.take(command);
      if (verdict === 'done') message.ack();
      else message.nak(verdict);
    } catch (error) {
      this.taker.log.error({ err: error, subject: message.subject, seq: message.seq }, 'a published command met an error that nobody expected; it will be taken again');
      message.nak(OUTAGE_MS);
    }
  }

  private hasEnded(): boolean {
    return this.stopping.signal.aborted;
  }
}

const commandOf = (message: JsMsg): PublishedCommand => ({
  subject: message.subject, body: message.data, seq: message.seq, publishedAt: Math.floor(message.info.timestampNanos / 1_000_000), deliveries: message.info.deliveryCount,
  idempotencyKey: message.headers?.get(header.idempotencyKey) ?? '', traceparent: message.headers?.get(header.traceparent) ?? '',
  dryRun: message.headers?.get(header.dryRun) ?? '',
});
