// When two gateways share what a user publishes: each has seen a command of his in the stream, and asks for more.
import { JetStreamApiError, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { COMMANDS_STREAM } from '#bus';
import { sleep } from '#kernel';
import { until } from '#testing';

/** Publishes until both follow the user: who does not look before the other one has carried a command out sees nothing of it. */
export async function followedByBoth(nats: NatsConnection, handle: string, publish: () => Promise<void>): Promise<void> {
  const { consumers } = await jetstreamManager(nats);
  const asking = async (): Promise<number> => {
    try {
      return (await consumers.info(COMMANDS_STREAM, `gateway-commands-${handle}`)).num_waiting;
    } catch (error) {
      if (error instanceof JetStreamApiError) return 0; // nobody follows him yet
      throw error;
    }
  };
  await until(`both follow ${handle}`, async () => {
    await publish();
    await sleep(50);
    return (await asking()) >= 2;
  });
}
