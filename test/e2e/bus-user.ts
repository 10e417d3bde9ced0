// A user on the lab's bus, with a key of his own and the standard NATS client.
import { connect, credsAuthenticator } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import { createUser as newKey, fmtCreds } from '@nats-io/jwt';
import { createBusCredential } from '#contracts';
import type { Rest } from './rest.ts';
import type { World } from './world.ts';

/** Has a new key let in for the user who is signed in; answers the text of a credentials file. */
export async function credentials(rest: Rest, lifeMinutes = 60): Promise<string> {
  const key = newKey();
  const { jwt } = await rest.ask(createBusCredential, { publicKey: key.getPublicKey(), lifeMinutes });
  return new TextDecoder().decode(fmtCreds(jwt, key));
}

export const enter = ({ record }: World, creds: string, handle: string, reconnect = false): Promise<NatsConnection> =>
  connect({ servers: record.nats.url, inboxPrefix: `_INBOX.user.${handle}`, reconnect, maxReconnectAttempts: -1, reconnectTimeWait: 100, authenticator: credsAuthenticator(new TextEncoder().encode(creds)) });
