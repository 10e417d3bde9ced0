// Webhooks: events delivered to a URL of their owner's, in order, signed (Standard Webhooks), again and again until they are
// taken or the webhook is disabled; and the log of what was delivered.
import { z } from 'zod';
import { defineCommand, defineEvent, defineQuery } from '../define.ts';
import { AddressRefused, ErrorBody, EventsGone, NameTaken, NotFound, PermissionDenied, RateLimited, Unavailable, VersionConflict } from '../errors.ts';
import { UserId, WebhookDeliveryId, WebhookId } from '../ids.ts';
import { listInput } from '../list.ts';
import { At, Done, Name, objectFields, pageOf, queryPosition } from '../values.ts';
import { EventFilter, EventPosition } from './event-log.ts';
import { LoggedEvent } from './monitoring.ts';

export const WebhookUrl = z.url({ protocol: /^https?$/, error: 'an http or https URL' }).max(2000).refine((text) => {
  if (!URL.canParse(text)) return false;
  const { username, password, hash } = new URL(text);
  return username === '' && password === '' && hash === '';
}, 'without user, password and fragment');

/** `failing` = the last try failed and there will be another. */
export const WebhookState = z.enum(['active', 'failing', 'disabled']);
/** Why nothing is delivered any more. */
export const WebhookDisabledReason = z.enum(['asked', 'failed-too-long', 'owner', 'events-gone']);

export const Webhook = z.strictObject({
  id: WebhookId, ownerId: UserId, name: Name, target: z.string().describe('the URL that it posts to'), filter: EventFilter,
  state: WebhookState, disabledReason: WebhookDisabledReason.nullable().describe('failed-too-long, owner = its owner is disabled, events-gone = it fell behind what is kept'),
  position: EventPosition.describe('everything up to this globalSeq is delivered'), failingSince: At.nullable(), nextTryAt: At.nullable(), lastError: ErrorBody.nullable(),
  secretVersion: z.int(), ...objectFields,
}).meta({ id: 'Webhook' });
export type Webhook = z.infer<typeof Webhook>;

/** `replaced` = the webhook was set to another place before it was taken. */
export const DeliveryState = z.enum(['pending', 'delivered', 'failed', 'replaced']);
export const WebhookDelivery = z.strictObject({
  id: WebhookDeliveryId.describe('the header webhook-id, the same at every try'), webhookId: WebhookId, state: DeliveryState, test: z.boolean(),
  after: EventPosition, position: EventPosition, events: z.int().describe('how many it carries'), tries: z.int(),
  status: z.int().nullable().describe('HTTP status of the last answer'), tookMs: z.int().nullable(), error: ErrorBody.nullable(), createdAt: At, endedAt: At.nullable(),
}).meta({ id: 'WebhookDelivery' });
export type WebhookDelivery = z.infer<typeof WebhookDelivery>;

/** The body that is posted: what a feed on the bus says, too. */
export const WebhookBody = z.strictObject({
  webhookId: WebhookId, test: z.boolean(), after: EventPosition, position: EventPosition.describe('everything above `after` and up to here that its owner may see is in `events`'), events: z.array(LoggedEvent),
}).meta({ id: 'WebhookBody' });

const WithSecret = z.strictObject({ webhook: Webhook, secret: z.string().describe('key of the signatures, whsec_ and base64; shown this once') });

export const createWebhook = defineCommand('monitoring.webhook.create', {
  summary: 'Have events delivered to a URL; the secret of its signatures is shown once', http: 'POST /v1/webhooks', permission: 'webhook.create',
  input: z.strictObject({ name: Name, target: WebhookUrl.describe('the URL to post to'), filter: EventFilter.default({}), after: queryPosition.optional().describe('from behind this globalSeq on; from now on if absent') }),
  reply: WithSecret, errors: [NameTaken, AddressRefused, EventsGone, RateLimited, Unavailable],
});
export const listWebhooks = defineQuery('monitoring.webhook.list', {
  summary: 'List webhooks: yours, and others’ with the right', http: 'GET /v1/webhooks', permission: 'webhook.read', input: z.strictObject({ ...listInput(Webhook, ['number', 'name']), state: WebhookState.optional() }), reply: pageOf(Webhook),
});
export const getWebhook = defineQuery('monitoring.webhook.get', { summary: 'Show a webhook', http: 'GET /v1/webhooks/:webhookId', permission: 'webhook.read', on: 'webhookId', input: z.strictObject({ webhookId: WebhookId }), reply: Webhook, errors: [NotFound] });
export const updateWebhook = defineCommand('monitoring.webhook.update', {
  summary: 'Change a webhook, disable or enable it; enabled, it goes on where it was', http: 'PATCH /v1/webhooks/:webhookId', permission: 'webhook.write', on: 'webhookId',
  description: 'Name, target and filter are its owner’s alone to change: what is delivered is what he may see.',
  input: z.strictObject({ webhookId: WebhookId, name: Name.optional(), target: WebhookUrl.optional(), filter: EventFilter.optional(), enabled: z.boolean().optional(), version: z.int().optional() }),
  reply: Webhook, errors: [NotFound, NameTaken, AddressRefused, VersionConflict, EventsGone],
});
export const deleteWebhook = defineCommand('monitoring.webhook.delete', { summary: 'Delete a webhook and its log', http: 'DELETE /v1/webhooks/:webhookId', permission: 'webhook.write', on: 'webhookId', input: z.strictObject({ webhookId: WebhookId }), reply: Done, errors: [NotFound] });
export const rotateWebhookSecret = defineCommand('monitoring.webhook.rotate-secret', {
  summary: 'Give a webhook of yours a new secret, shown once; for a day deliveries are signed with the old one too', http: 'POST /v1/webhooks/:webhookId/rotate-secret', permission: 'webhook.write', on: 'webhookId',
  input: z.strictObject({ webhookId: WebhookId }), reply: WithSecret, errors: [NotFound, PermissionDenied],
});
export const testWebhook = defineCommand('monitoring.webhook.test', {
  summary: 'Deliver a message without events now, and say what the receiver answered', http: 'POST /v1/webhooks/:webhookId/test', permission: 'webhook.write', on: 'webhookId', timeoutMs: 20_000,
  input: z.strictObject({ webhookId: WebhookId }), reply: WebhookDelivery, errors: [NotFound],
});
export const replayWebhook = defineCommand('monitoring.webhook.replay', {
  summary: 'Deliver what came after a place in the log again, and go on from there; enables the webhook', http: 'POST /v1/webhooks/:webhookId/replay', permission: 'webhook.write', on: 'webhookId',
  input: z.strictObject({ webhookId: WebhookId, after: queryPosition.describe('globalSeq of the last event that is not wanted again') }), reply: Webhook, errors: [NotFound, EventsGone],
});
export const listWebhookDeliveries = defineQuery('monitoring.webhook-delivery.list', {
  summary: 'What a webhook has delivered, newest first: kept for 30 days, at most the last thousand', http: 'GET /v1/webhooks/:webhookId/deliveries', permission: 'webhook.read', on: 'webhookId',
  input: z.strictObject({ webhookId: WebhookId, ...listInput(WebhookDelivery, ['createdAt'], '-createdAt'), state: DeliveryState.optional() }), reply: pageOf(WebhookDelivery), errors: [NotFound],
});

export const webhookChanged = defineEvent('monitoring.webhook.changed', { summary: 'A webhook was made, changed, disabled, or works again', data: z.strictObject({ webhook: Webhook.pick({ id: true, ownerId: true, name: true, state: true, disabledReason: true }) }) });
export const webhookDeleted = defineEvent('monitoring.webhook.deleted', { summary: 'A webhook was deleted', data: z.strictObject({ webhookId: WebhookId, ownerId: UserId }) });
