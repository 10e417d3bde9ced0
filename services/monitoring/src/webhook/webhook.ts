// What a webhook sends and when it tries again. Pure. The signature is that of Standard Webhooks (standardwebhooks.com), so that
// receivers can check it with a library of theirs: HMAC-SHA256 over "id.timestamp.body", base64.
import { createHmac } from 'node:crypto';
import { derivedSecret } from '#kernel';
import type { LogEntry } from '#contracts';

const purpose = 'tokamak-monitoring/webhook';
/** So long after a change of the secret deliveries are signed with the one before too. */
export const OLD_SECRET_MS = 24 * 3_600_000;

export const secretOf = (master: Buffer, webhookId: string, version: number): Buffer => derivedSecret(master, purpose, `${webhookId} ${version}`);
export const secretText = (secret: Buffer): string => `whsec_${secret.toString('base64')}`;

export interface Signed { readonly id: string; readonly at: Date; readonly body: string; readonly secrets: readonly Buffer[] }

export function signedHeaders({ id, at, body, secrets }: Signed): Readonly<Record<string, string>> {
  const timestamp = String(Math.floor(at.getTime() / 1000));
  const signature = secrets.map((secret) => `v1,${createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`).digest('base64')}`).join(' ');
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature };
}

export interface Said { readonly webhookId: string; readonly test: boolean; readonly after: number; readonly position: number; readonly items: readonly Pick<LogEntry, 'text'>[] }

/** The JSON of a WebhookBody; the events are passed on as the log has them. */
export const bodyText = ({ webhookId, test, after, position, items }: Said): string =>
  `{"webhookId":"${webhookId}","test":${test},"after":${after},"position":${position},"events":[${items.map(({ text }) => text).join(',')}]}`;

const firstMs = 1_000;
const longestMs = 15 * 60_000;

/** Pause before try number `tries` + 1: doubling from a second to a quarter of an hour, less up to half of it by `chance` (0..1), so that many do not come at once. */
export const pauseBefore = (tries: number, chance: number): number => Math.round(Math.min(longestMs, firstMs * 2 ** Math.min(tries - 1, 20)) * (1 - chance / 2));
