// A connection to NATS that never gives up once it has been made: it comes back after every loss, also with new
// credentials on disk, and notices within ten seconds that the server is dead.
import { readFileSync } from 'node:fs';
import { AuthorizationError, credsAuthenticator, UserAuthenticationExpiredError } from '@nats-io/transport-node';
import type { NatsConnection, NodeConnectionOptions, Status } from '@nats-io/transport-node';
import { sleep } from '#kernel';
import type { BusLog } from './context.ts';
import { deadlineIn } from './deadline.ts';
import { inboxPrefixOf } from './creds.ts';
import { connectGathering } from './gathering.nats.ts';

export interface BusConnectOptions {
  /** One or more `nats://host:port`, separated by commas. */
  readonly url: string;
  /** A NATS credentials file; without one the server must let everyone in (tests only). */
  readonly credsFile?: string;
  /** Shown in the server's list of connections. */
  readonly name: string;
  /** Default: the one that the credentials allow. */
  readonly inboxPrefix?: string;
  readonly log: BusLog;
  /** How long to wait for the first connection, ms. */
  readonly timeoutMs?: number;
}

const ATTEMPT_MS = 2_000; // a server that reads its configuration again may leave a connection hanging
const PING_EVERY_MS = 3_000;
const PINGS_UNANSWERED = 2;
const RETRY_MS = 250;

/** Rejects when there is no server within `timeoutMs`, and at once when the server refuses the credentials. */
export async function connectBus(options: BusConnectOptions): Promise<NatsConnection> {
  const deadline = deadlineIn(options.timeoutMs ?? 30_000);
  const settings = settingsOf(options);
  for (;;) {
    try {
      const connection = await connectGathering(settings);
      void watch(connection, options.log);
      return connection;
    } catch (error) {
      if (error instanceof AuthorizationError || error instanceof UserAuthenticationExpiredError) throw error;
      if (deadline.leftMs() <= RETRY_MS) throw new Error(`NATS at ${options.url} cannot be reached`, { cause: error });
      await sleep(RETRY_MS);
    }
  }
}

function settingsOf({ url, credsFile, name, inboxPrefix }: BusConnectOptions): NodeConnectionOptions {
  const prefix = inboxPrefix ?? (credsFile === undefined ? undefined : inboxPrefixOf(readFileSync(credsFile, 'utf8')));
  return {
    servers: url.split(','),
    name,
    timeout: ATTEMPT_MS,
    maxReconnectAttempts: -1,
    reconnectTimeWait: RETRY_MS,
    reconnectJitter: RETRY_MS,
    pingInterval: PING_EVERY_MS,
    maxPingOut: PINGS_UNANSWERED,
    ignoreAuthErrorAbort: true, // credentials may be revoked and renewed while we run
    noAsyncTraces: true, // a stack per request costs more than the request
    ...(prefix === undefined ? {} : { inboxPrefix: prefix }),
    // Read again at each connect, so that renewed credentials are taken without a restart.
    ...(credsFile === undefined ? {} : { authenticator: credsAuthenticator(() => readFileSync(credsFile)) }),
  };
}

type Level = 'debug' | 'info' | 'warn' | 'error';
const levels: Readonly<Record<Status['type'], Level>> = {
  disconnect: 'warn', reconnect: 'info', reconnecting: 'debug', update: 'debug', ldm: 'warn', error: 'error',
  ping: 'debug', staleConnection: 'warn', forceReconnect: 'info', slowConsumer: 'warn', close: 'info',
};

async function watch(connection: NatsConnection, log: BusLog): Promise<void> {
  for await (const status of connection.status()) {
    const fields = status.type === 'error' ? { err: status.error } : { server: 'server' in status ? status.server : undefined };
    log[levels[status.type]]({ status: status.type, ...fields }, 'NATS connection');
  }
}
