// The JetStream streams. EVENTS delivers events and owns nothing: relays publish again what is missing, so it may be emptied
// or deleted at any moment. COMMANDS holds the only copy of a published command until its outcome is in MySQL.
import { DiscardPolicy, jetstreamManager, JetStreamApiError, RetentionPolicy, StorageType } from '@nats-io/jetstream';
import type { ConsumerMessages, StreamConfig } from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';

export const EVENTS_STREAM = 'EVENTS';
export const COMMANDS_STREAM = 'COMMANDS';

const NOT_FOUND: ReadonlySet<number> = new Set([10059, 10014]); // of a stream, of a consumer
const DAY_MS = 24 * 3_600_000;
const GiB = 1024 ** 3;

type Wanted = Pick<StreamConfig, 'name' | 'subjects' | 'storage' | 'retention' | 'discard' | 'max_age' | 'max_bytes' | 'duplicate_window'> & Partial<StreamConfig>;
const events: Wanted = {
  name: EVENTS_STREAM,
  subjects: ['tok.v1.evt.>'],
  storage: StorageType.File,
  retention: RetentionPolicy.Limits,
  discard: DiscardPolicy.Old,
  max_age: nanos(7 * DAY_MS),
  max_bytes: GiB,
  duplicate_window: nanos(2 * 60_000),
};

/**
 * A full stream refuses instead of forgetting, so what was acknowledged is there. The window is the smallest there is: by
 * JetStream's own message ids, which one user could choose as another does, a command could be swallowed.
 */
const commands: Wanted = {
  name: COMMANDS_STREAM,
  subjects: ['tok.v1.user.*.cmd.>'],
  storage: StorageType.File,
  retention: RetentionPolicy.Workqueue,
  discard: DiscardPolicy.New,
  max_age: 0,
  max_bytes: GiB,
  max_msg_size: 300 * 1024,
  duplicate_window: nanos(100),
  allow_rollup_hdrs: false,
  deny_purge: true,
};

/** Makes the streams, or brings them to what is written here. Safe from many services at once. */
export async function ensureStreams(connection: NatsConnection): Promise<void> {
  await ensure(connection, events);
}

/** `maxBytes`: what it holds before it refuses. Set below what is in it, it refuses until enough was carried out, and drops nothing. */
export const ensureCommandStream = (connection: NatsConnection, maxBytes: number = commands.max_bytes): Promise<void> => ensure(connection, { ...commands, max_bytes: maxBytes });

async function ensure(connection: NatsConnection, wanted: Wanted): Promise<void> {
  const manager = await jetstreamManager(connection);
  if (await isThere(manager.streams.info(wanted.name))) await manager.streams.update(wanted.name, wanted);
  else await manager.streams.add(wanted); // adding one that is there and equal is no error
}

/** Ends the iteration when stream or consumer were deleted, which shows here alone. Not awaited: it ends only with an iteration. */
export async function stopWhenGone(messages: ConsumerMessages): Promise<void> {
  for await (const { type } of messages.status()) {
    if (['consumer_deleted', 'consumer_not_found', 'stream_not_found', 'no_responders', 'heartbeats_missed'].includes(type)) messages.stop();
  }
}

/** Whether there is the stream or consumer that was asked for. */
export async function isThere(asked: Promise<unknown>): Promise<boolean> {
  try {
    await asked;
    return true;
  } catch (error) {
    if (error instanceof JetStreamApiError && NOT_FOUND.has(error.code)) return false;
    throw error;
  }
}
