// A user on the lab's bus, with a key of his own and the standard NATS client.
import { connect, credsAuthenticator, headers } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import { createUser as newKey, fmtCreds } from '@nats-io/jwt';
import { allErrors, createBusCredential, ErrorBody } from '#contracts';
import type { Operation, ReplyOf, RequestOf } from '#contracts';
import { Refusal } from './rest.ts';
import type { Rest } from './rest.ts';
import { untilAnswered } from './until-answered.ts';
import type { World } from './world.ts';

/** Has a new key let in for the user who is signed in; answers the text of a credentials file. */
export async function credentials(rest: Rest, lifeMinutes = 60): Promise<string> {
  const key = newKey();
  const { jwt } = await rest.ask(createBusCredential, { publicKey: key.getPublicKey(), lifeMinutes });
  return new TextDecoder().decode(fmtCreds(jwt, key));
}

export const enter = ({ record }: World, creds: string, handle: string, reconnect = false): Promise<NatsConnection> =>
  connect({ servers: record.nats.url, inboxPrefix: `_INBOX.user.${handle}`, reconnect, maxReconnectAttempts: -1, reconnectTimeWait: 100, authenticator: credsAuthenticator(new TextEncoder().encode(creds)) });

interface Asking { readonly key?: string; readonly timeoutMs?: number; readonly patientMs?: number }

/** Asks on the bus until there is an answer, under one key; throws `Refusal`. */
export function askOnBus<O extends Operation>(nats: NatsConnection, handle: string, operation: O, input: RequestOf<O>, { key, timeoutMs = operation.timeoutMs + 2_000, patientMs = 90_000 }: Asking = {}): Promise<ReplyOf<O>> {
  const sent = headers();
  if (key !== undefined) sent.set('Idempotency-Key', key);
  return untilAnswered(operation.name, async () => {
    const answer = await nats.request(`tok.v1.user.${handle}.req.${operation.name}`, JSON.stringify(input), { timeout: timeoutMs, headers: sent });
    if (answer.headers?.get('Nats-Service-Error')) throw refusalOf(operation, answer.json());
    return { reply: operation.reply.parse(answer.json()) as ReplyOf<O> };
  }, patientMs);
}

function refusalOf(operation: Operation, body: unknown): Refusal {
  const fault = ErrorBody.parse(body);
  return new Refusal(operation.name, allErrors.has(fault.code) ? 409 : 500, fault);
}
