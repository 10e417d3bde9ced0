// One user's part of the stream COMMANDS: a consumer of its own, so that what he has waiting, or has to wait for, is behind
// nobody else's and nobody else's behind his. It goes when he has been idle for a while, and comes back with his next command.
import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { Consumer, ConsumerConfig, ConsumerMessages, JsMsg } from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import { COMMANDS_STREAM, publishedBy, unlessGone } from './streams.nats.ts';

/** Of one user, commands that wait for a service which is away among them. */
const MOST_UNDER_WAY = 20_000;
/** A consumer that nobody asks goes after so long, with nothing but its numbers. */
const FORGOTTEN_AFTER_MS = 300_000;

export interface CommandQueue {
  readonly connection: NatsConnection;
  readonly handle: string;
  /** The user's consumer is named after him behind this. */
  readonly name: string;
  readonly ackWaitMs: number;
  /** So long without a command, and there is no need to ask for more. */
  readonly idleMs: number;
  readonly signal: AbortSignal;
  /** How many commands there is room for; 0 = none, and `hasRoom` tells when to ask again. */
  room(): number;
  hasRoom(): Promise<void>;
  hold(message: JsMsg): void;
}

/** However often it must be delivered: an end comes from whoever takes it alone. */
const wanted = { ack_policy: AckPolicy.Explicit, deliver_policy: DeliverPolicy.All, max_ack_pending: MOST_UNDER_WAY, max_deliver: -1, inactive_threshold: nanos(FORGOTTEN_AFTER_MS) } as const;

/** Hands over what the user has published, as there is room for it, until he has been idle for a while. Rejects when the stream or the consumer is gone. */
export async function followUser(queue: CommandQueue): Promise<void> {
  const { connection, handle, name, ackWaitMs, idleMs, signal } = queue;
  const consumer = await ensureConsumer(connection, { ...wanted, durable_name: `${name}-${handle}`, filter_subject: publishedBy(handle), ack_wait: nanos(ackWaitMs) });
  let messages: ConsumerMessages | undefined;
  const hasEnded = (): boolean => signal.aborted;
  const stop = (): void => { messages?.stop(); };
  signal.addEventListener('abort', stop, { once: true });
  try {
    for (let heardAt = performance.now(); !hasEnded() && performance.now() - heardAt < idleMs;) {
      const room = queue.room();
      if (room === 0) {
        await queue.hasRoom();
        heardAt = performance.now();
        continue;
      }
      messages = await consumer.fetch({ max_messages: room, expires: 5_000, idle_heartbeat: 1_000 });
      if (hasEnded()) messages.stop();
      for await (const message of messages) {
        heardAt = performance.now();
        queue.hold(message);
      }
    }
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** One that an older version has made is brought to what is written above. */
async function ensureConsumer(connection: NatsConnection, config: Partial<ConsumerConfig> & { readonly durable_name: string }): Promise<Consumer> {
  const { consumers } = await jetstreamManager(connection);
  const { durable_name: name } = config;
  if ((await unlessGone(consumers.info(COMMANDS_STREAM, name))) === undefined) await consumers.add(COMMANDS_STREAM, config); // adding one that is there and equal is no error
  else await consumers.update(COMMANDS_STREAM, name, config);
  return jetstream(connection).consumers.get(COMMANDS_STREAM, name);
}
