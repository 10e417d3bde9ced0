// The JetStream streams. EVENTS delivers events and owns nothing: relays publish again what is missing, so it may be emptied
// or deleted at any moment. COMMANDS holds the only copy of a published command until its outcome is in MySQL.
import { DiscardPolicy, jetstreamManager, JetStreamApiError, RetentionPolicy, StorageType } from '@nats-io/jetstream';
import type { ConsumerMessages, JetStreamManager, StreamConfig } from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';

export const EVENTS_STREAM = 'EVENTS';
export const COMMANDS_STREAM = 'COMMANDS';
/** Where a user, or everybody, publishes commands. */
export const publishedBy = (handle: string): string => `tok.v1.user.${handle}.cmd.>`;

const NOT_FOUND: ReadonlySet<number> = new Set([10059, 10014]); // of a stream, of a consumer
const HOUR_MS = 3_600_000;
const MiB = 1024 ** 2;
const GiB = 1024 ** 3;

type Wanted = Pick<StreamConfig, 'name' | 'subjects' | 'storage' | 'retention' | 'discard' | 'max_age' | 'max_bytes' | 'duplicate_window'> & Partial<StreamConfig>;
/** In memory: read at its end by many consumers, a stream on disk reads whole blocks of megabytes for each event, and owns no more (ADR 39). */
const events: Wanted = {
  name: EVENTS_STREAM,
  subjects: ['tok.v1.evt.>'],
  storage: StorageType.Memory,
  retention: RetentionPolicy.Limits,
  discard: DiscardPolicy.Old,
  max_age: nanos(HOUR_MS),
  max_bytes: 64 * MiB,
  duplicate_window: nanos(2 * 60_000),
};

/**
 * A full stream refuses instead of forgetting, so what was acknowledged is there. The window is the smallest there is: by
 * JetStream's own message ids, which one user could choose as another does, a command could be swallowed.
 */
const commands: Wanted & Pick<StreamConfig, 'max_msgs_per_subject'> = {
  name: COMMANDS_STREAM,
  subjects: [publishedBy('*')],
  storage: StorageType.File,
  retention: RetentionPolicy.Workqueue,
  discard: DiscardPolicy.New,
  max_age: 0,
  max_bytes: GiB,
  max_msgs_per_subject: 10_000,
  discard_new_per_subject: true,
  max_msg_size: 300 * 1024,
  duplicate_window: nanos(100),
  allow_rollup_hdrs: false,
  deny_purge: true,
};

/** Makes the streams, or brings them to what is written here. Safe from many services at once. */
export async function ensureStreams(connection: NatsConnection): Promise<void> {
  const manager = await jetstreamManager(connection);
  const known = (await unlessGone(manager.streams.info(EVENTS_STREAM)))?.config;
  // A storage cannot be changed. Whoever comes second finds the new one, or nothing.
  if (known !== undefined && known.storage !== events.storage) await unlessGone(manager.streams.delete(EVENTS_STREAM));
  await ensure(manager, events);
}

/** What the stream of commands holds before it refuses. */
export interface CommandRoom {
  readonly bytes?: number | undefined;
  /** Of one user for one operation: one whose program runs wild leaves room to the others. */
  readonly perOperation?: number | undefined;
}

/**
 * Set below the bytes that are in it, the stream refuses until enough was carried out, and drops nothing. By a limit of messages
 * per subject that is below what is there the server would drop the oldest: false = it stays as it was, as there is not much less.
 */
export async function ensureCommandStream(connection: NatsConnection, { bytes = commands.max_bytes, perOperation = commands.max_msgs_per_subject }: CommandRoom = {}): Promise<boolean> {
  const manager = await jetstreamManager(connection);
  const known = await unlessGone(manager.streams.info(COMMANDS_STREAM, { subjects_filter: '>' }));
  const most = Math.max(0, ...Object.values(known?.state.subjects ?? {}));
  const before = known?.config.max_msgs_per_subject ?? 0;
  // Half of it: more are published while we look.
  const isSafe = most <= perOperation / 2 || (before > 0 && before <= perOperation);
  await ensure(manager, { ...commands, max_bytes: bytes, ...(isSafe ? { max_msgs_per_subject: perOperation } : { max_msgs_per_subject: before, discard_new_per_subject: before > 0 }) });
  return isSafe;
}

/** Whose commands the stream holds: those that wait and those that are worked on. The answer grows with the users and the operations among them. */
export async function whoPublished(manager: JetStreamManager): Promise<string[]> {
  const { state } = await manager.streams.info(COMMANDS_STREAM, { subjects_filter: publishedBy('*') });
  return [...new Set(Object.keys(state.subjects ?? {}).flatMap((subject) => subject.split('.')[3] ?? []))];
}

async function ensure(manager: JetStreamManager, wanted: Wanted): Promise<void> {
  if ((await unlessGone(manager.streams.info(wanted.name))) === undefined) await manager.streams.add(wanted); // adding one that is there and equal is no error
  else await manager.streams.update(wanted.name, wanted);
}

/** Ends the iteration when stream or consumer were deleted, which shows here alone. Not awaited: it ends only with an iteration. */
export async function stopWhenGone(messages: ConsumerMessages): Promise<void> {
  for await (const { type } of messages.status()) {
    if (['consumer_deleted', 'consumer_not_found', 'stream_not_found', 'no_responders', 'heartbeats_missed'].includes(type)) messages.stop();
  }
}

/** What JetStream answers; undefined = there is no such stream or consumer. */
export async function unlessGone<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof JetStreamApiError && NOT_FOUND.has(error.code)) return undefined;
    throw error;
  }
}
