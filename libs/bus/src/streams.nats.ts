// The JetStream stream that delivers events. It owns nothing: relays publish again what is missing, so it may be
// emptied or deleted at any moment.
import { DiscardPolicy, jetstreamManager, JetStreamApiError, RetentionPolicy, StorageType } from '@nats-io/jetstream';
import type { JetStreamManager, StreamConfig } from '@nats-io/jetstream';
import { nanos } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';

export const EVENTS_STREAM = 'EVENTS';

const STREAM_NOT_FOUND = 10059;
const DAY_MS = 24 * 3_600_000;
const GiB = 1024 ** 3;

type Wanted = Pick<StreamConfig, 'name' | 'subjects' | 'storage' | 'retention' | 'discard' | 'max_age' | 'max_bytes' | 'duplicate_window'>;
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

/** Makes the streams, or brings them to what is written here. Safe from many services at once. */
export async function ensureStreams(connection: NatsConnection): Promise<void> {
  const manager = await jetstreamManager(connection);
  if (await exists(manager, events.name)) await manager.streams.update(events.name, events);
  else await manager.streams.add(events); // adding one that is there and equal is no error
}

async function exists(manager: JetStreamManager, name: string): Promise<boolean> {
  try {
    await manager.streams.info(name);
    return true;
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === STREAM_NOT_FOUND) return false;
    throw error;
  }
}
