// Answers the NATS service protocol (ADR-32 of nats-architecture-and-design), so that `nats micro ls|info|stats` and
// any other standard tool find our services.
import type { Msg, NatsConnection, Subscription } from '@nats-io/transport-node';
import { isInbox } from './headers.ts';
import type { Tally } from './tally.ts';

export interface DiscoveryOptions {
  readonly connection: NatsConnection;
  readonly service: string;
  /** Unique per replica. */
  readonly id: string;
  /** Semantic version. */
  readonly version: string;
  readonly description: string;
  readonly endpoints: readonly { readonly name: string; readonly subject: string; readonly summary: string }[];
  readonly tally: Tally;
}

const verbs = ['PING', 'INFO', 'STATS'] as const;
type Verb = (typeof verbs)[number];
const NANOSECONDS = 1_000_000;

export function serveDiscovery(options: DiscoveryOptions): Subscription[] {
  const { connection, service, id } = options;
  const answers = answersOf(options, new Date().toISOString());
  return verbs.flatMap((verb) => {
    const callback = (error: Error | null, message: Msg): void => {
      if (error === null && message.reply !== undefined && isInbox(message.reply)) message.respond(JSON.stringify(answers[verb]()));
    };
    return [`$SRV.${verb}`, `$SRV.${verb}.${service}`, `$SRV.${verb}.${service}.${id}`].map((subject) => connection.subscribe(subject, { callback }));
  });
}

function answersOf({ service, id, version, description, endpoints, tally }: DiscoveryOptions, started: string): Record<Verb, () => object> {
  const identity = { name: service, id, version, metadata: {} };
  const endpointName = (name: string): string => name.replaceAll('.', '-');
  return {
    PING: () => ({ type: 'io.nats.micro.v1.ping_response', ...identity }),
    INFO: () => ({
      type: 'io.nats.micro.v1.info_response',
      ...identity,
      description,
      endpoints: endpoints.map(({ name, subject, summary }) => ({ name: endpointName(name), subject, queue_group: service, metadata: { summary } })),
    }),
    STATS: () => ({
      type: 'io.nats.micro.v1.stats_response',
      ...identity,
      started,
      endpoints: endpoints.map(({ name, subject }) => {
        const { requests, errors, lastError, processingMs } = tally.of(name);
        const processing = Math.round(processingMs * NANOSECONDS);
        return {
          name: endpointName(name), subject, queue_group: service,
          num_requests: requests, num_errors: errors, last_error: lastError,
          processing_time: processing, average_processing_time: requests === 0 ? 0 : Math.round(processing / requests),
        };
      }),
    }),
  };
}
