// The headers of a message, by name, and the rules for their values.
import { Door } from '#contracts';

export const header = {
  timeoutMs: 'Tok-Timeout-Ms',
  actor: 'Tok-Actor',
  /** The way in that the request came by; only services can write it. */
  door: 'Tok-Door',
  idempotencyKey: 'Idempotency-Key',
  dryRun: 'Tok-Dry-Run',
  traceparent: 'traceparent',
  tracestate: 'tracestate',
  errorCode: 'Nats-Service-Error-Code',
  error: 'Nats-Service-Error',
} as const;

/** `Tok-Actor: service:<name>` = a service on its own behalf; anything else is a user's token. */
const servicePrefix = 'service:';
const serviceName = /^[a-z][a-z0-9-]{0,62}$/;

export const serviceActor = (name: string): string => `${servicePrefix}${name}`;

/** The service that speaks for itself; null for a user's token; undefined for a malformed name. */
export function callingService(actor: string): string | null | undefined {
  if (!actor.startsWith(servicePrefix)) return null;
  const name = actor.slice(servicePrefix.length);
  return serviceName.test(name) ? name : undefined;
}

/** The way in that a header names; a service on its own where it names none. */
export function doorOf(text: string): Door {
  const known = Door.safeParse(text);
  return known.success ? known.data : 'service';
}

/** 1 to 128 printable ASCII characters. */
export const isIdempotencyKey = (text: string): boolean => /^[\x20-\x7e]{1,128}$/.test(text);

/** An answer goes only where an inbox can be: a caller could else make us publish a command to a host. */
export const isInbox = (reply: string): boolean => /^_INBOX(\.[^\s.*>]+)+$/.test(reply);

/** A piece of a subject that nobody can mistake for two pieces or for a wildcard. */
export const isSubjectToken = (text: string): boolean => /^[^\s.*>]+$/.test(text);
