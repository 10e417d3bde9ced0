// Takes published commands from the stream COMMANDS: several at once, in turn of their users, each until its outcome is known. As
// long as one is held here the server hears that it is; what must wait, and what a process that died or stands still had, is
// delivered again, perhaps to another one, and holds nothing up behind it.
import { jetstreamManager } from '@nats-io/jetstream';
import type { JetStreamManager, JsMsg } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { sleep } from '#kernel';
import { followUser } from './command-queue.nats.ts';
import type { BusLog } from './context.ts';
import { atMost } from './deadline.ts';
import { header } from './headers.ts';
import { Lanes } from './lanes.ts';
import { COMMANDS_STREAM, ensureCommandStream, unlessGone, whoPublished, type CommandRoom } from './streams.nats.ts';

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
  /** All replicas share what there is under it, user by user. */
  readonly name: string;
  readonly atOnce: number;
  /** Commands of one lane of a user that this replica has are taken one after the other, in the order of publishing. */
  laneOf(command: PublishedCommand): string;
  /** Throwing means: deliver it again soon. */
  take(command: PublishedCommand): Promise<Verdict>;
  /** What the stream may hold before it refuses; default: what `ensureCommandStream` says. */
  readonly room?: CommandRoom;
  /** For tests, which cannot wait as long. */
  readonly ackWaitMs?: number;
  readonly idleMs?: number;
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
/** Lanes beyond those at work: there is something to go on with while more is asked for. More is asked for when few of them are left. */
const READY_LANES = 32;
const FEW_LANES = 8;
/** A lane may be long, so it is commands of a user that are bounded, and what all of them weigh. */
const MOST_HELD = 4_096;
const MOST_HELD_BYTES = 64 * 1024 * 1024;
/** So often it is seen who else publishes; less often, where that takes long. A user who has published lately is not waited for so. */
const LOOK_MS = 200;
const REST_TO_LOOK = 10;
const IDLE_MS = 60_000;
const OUTAGE_MS = 1_000;

export class CommandConsumer {
  private readonly stopping = new AbortController();
  private readonly lanes: Lanes<Held>;
  /** Who is followed, by handle. */
  private readonly users = new Map<string, Promise<void>>();
  private heldBytes = 0;
  /** The stream's last command when it was seen who publishes; undefined = somebody may have more than was seen. */
  private seen: number | undefined;
  private loop: Promise<void> | undefined;
  private words: NodeJS.Timeout | undefined;

  constructor(private readonly taker: CommandTaker) {
    this.lanes = new Lanes(taker.atOnce, (held) => this.take(held));
  }

  start(): void {
    this.words ??= setInterval(() => { this.sayAtWork(); }, this.ackWaitMs / WORDS_PER_WAIT);
    this.loop ??= this.run();
  }

  /**
   * Takes nothing new, gives back what has not begun, and waits for the rest, `graceMs` at most; what has not ended by then is
   * delivered again when the server has heard nothing of it for a while.
   */
  async stop(graceMs: number): Promise<void> {
    this.stopping.abort();
    for (const { message, command } of this.lanes.drop()) {
      this.weigh(-command.body.length);
      this.say(() => { message.nak(); });
    }
    await this.loop;
    await Promise.all(this.users.values());
    await atMost(graceMs, this.lanes.idle());
    clearInterval(this.words);
  }

  private get ackWaitMs(): number {
    return this.taker.ackWaitMs ?? ACK_WAIT_MS;
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      try {
        await this.lookOut();
      } catch (error) {
        if (!this.hasEnded()) this.taker.log.warn({ err: error }, 'published commands cannot be taken in; trying again');
      }
      await sleep(OUTAGE_MS, signal);
    }
  }

  /** Sees who publishes, and follows him. */
  private async lookOut(): Promise<void> {
    const { connection, name, room } = this.taker;
    if (!(await ensureCommandStream(connection, room))) this.taker.log.warn({ ...room }, 'more commands of one user for one operation wait than half of what may; the limit stays as it was until a later start');
    const manager = await jetstreamManager(connection);
    // What an older version made, of everybody: beside it the server allows no other. What it has delivered is delivered again.
    await unlessGone(manager.consumers.delete(COMMANDS_STREAM, name));
    this.seen = undefined;
    while (!this.hasEnded()) {
      const startedAt = performance.now();
      await this.look(manager);
      await sleep(Math.max(LOOK_MS, (performance.now() - startedAt) * REST_TO_LOOK), this.stopping.signal);
    }
  }

  private async look(manager: JetStreamManager): Promise<void> {
    const { messages, last_seq: last } = (await manager.streams.info(COMMANDS_STREAM)).state;
    if (messages === 0 || last === this.seen) return;
    this.seen = last;
    for (const handle of await whoPublished(manager)) {
      if (!this.users.has(handle)) this.users.set(handle, this.follow(handle));
    }
  }

  private async follow(handle: string): Promise<void> {
    const { connection, log, name, idleMs = IDLE_MS } = this.taker;
    const { signal } = this.stopping;
    try {
      await followUser({
        connection, name, handle, ackWaitMs: this.ackWaitMs, idleMs, signal,
        room: () => this.roomFor(handle), hasRoom: () => this.lanes.end(handle), hold: (message) => { this.hold(handle, message); },
      });
    } catch (error) {
      if (!this.hasEnded()) log.warn({ err: error, user: handle }, 'published commands of a user cannot be taken in; trying again');
      await sleep(OUTAGE_MS, signal);
    }
    this.users.delete(handle);
    this.seen = undefined;
  }

  /**
   * Asked for at once as much as there is room for: nothing that has been delivered waits where nobody says that it is in good hands.
   * Of a user who has nothing here one is always taken, whatever the others have.
   */
  private roomFor(handle: string): number {
    const { lanes, entries } = this.lanes.of(handle);
    const users = this.lanes.busy + (entries === 0 ? 1 : 0);
    const share = (count: number): number => Math.ceil(count / users);
    if (this.heldBytes >= MOST_HELD_BYTES) return entries === 0 ? 1 : 0;
    if (lanes > share(this.taker.atOnce) + share(FEW_LANES)) return 0;
    return Math.max(0, Math.min(share(this.taker.atOnce) + share(READY_LANES) - lanes, MOST_HELD - entries));
  }

  private hold(handle: string, message: JsMsg): void {
    if (this.hasEnded()) {
      this.say(() => { message.nak(); });
      return;
    }
    const command = commandOf(message);
    this.weigh(command.body.length);
    this.lanes.add(handle, this.taker.laneOf(command), { message, command });
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

const commandOf = (message: JsMsg): PublishedCommand => ({
  subject: message.subject, body: message.data, seq: message.seq, publishedAt: Math.floor(message.info.timestampNanos / 1_000_000), deliveries: message.info.deliveryCount,
  idempotencyKey: message.headers?.get(header.idempotencyKey) ?? '', traceparent: message.headers?.get(header.traceparent) ?? '',
  dryRun: message.headers?.get(header.dryRun) ?? '',
});
