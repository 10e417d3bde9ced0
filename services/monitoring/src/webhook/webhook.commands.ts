// Webhooks made, changed and looked at. Whose events are delivered is its owner's business alone, so what decides about them, and
// the secret, are his to change; who has the right may look at others' webhooks, stop them and delete them.
import { Inject, Injectable } from '@nestjs/common';
import type { DataSource, EntityManager } from 'typeorm';
import type { BusContext } from '#bus';
import {
  createWebhook as createOperation, deleteWebhook as deleteOperation, eventsGone, isGone, NameTaken, PermissionDenied, RateLimited, replayWebhook, rotateWebhookSecret, Unauthenticated, Unavailable, updateWebhook, VersionConflict, webhookChanged, webhookDeleted,
  type createWebhook, type deleteWebhook as deleting, type EventFilter, type InputOf, type listWebhookDeliveries, type listWebhooks, type Operation, type Permission, type ReplyOf, type Webhook, type WebhookId,
} from '#contracts';
import { afterCommit, allowed, isDuplicate, nextNumber, whoOf } from '#database';
import { failed, FaultError, newUuid, ok, type Result } from '#kernel';
import { Db } from '#service';
import type { z } from 'zod';
import { emit, runCommand } from '#tasks';
import { reachOf } from '../event/event.store.ts';
import { logNews } from '../event/event.reader.ts';
import { TaskWaiters } from '../task/task.waiters.ts';
import { WebhookKey, type SiteKey } from './webhook-key.ts';
import { secretOf, secretText } from './webhook.ts';
import { WebhookPost } from './webhook-post.client.ts';
import { changeWebhook, countWebhooks, deleteWebhook, disableWebhook, enableWebhook, findWebhook, insertWebhook, pageOfDeliveries, pageOfWebhooks, replacePending, rotateSecret, webhooksOf } from './webhook.store.ts';

const noun = 'webhook';
const mostPerUser = 20;
type Done = ReplyOf<typeof deleting>;
type WithSecret = ReplyOf<typeof createWebhook>;

/** What an event tells of a webhook: not where it goes, as more people see events than webhooks. */
export const tellOf = (tx: EntityManager, { id, ownerId, name, state, disabledReason }: Webhook, ctx?: Pick<BusContext, 'actor' | 'traceId'>): Promise<void> =>
  emit(tx, webhookChanged, { objectId: id, data: { webhook: { id, ownerId, name, state, disabledReason } }, ...(ctx === undefined ? {} : { ctx }) });

@Injectable()
export class WebhookCommands {
  constructor(
    @Inject(Db) private readonly db: DataSource, @Inject(WebhookKey) private readonly key: SiteKey, @Inject(WebhookPost) private readonly post: WebhookPost, @Inject(TaskWaiters) private readonly waiters: TaskWaiters,
  ) {}

  async create(input: InputOf<typeof createWebhook>, ctx: BusContext): Promise<Result<WithSecret>> {
    const { actor } = ctx;
    const { key } = this;
    if (actor === null) return Unauthenticated.fail('Webhooks belong to users; sign in first.');
    if (key === undefined) return Unavailable.fail('This site has no key for the secrets of webhooks: its administrator sets TOK_DATA_DIR for monitoring.', { service: 'monitoring' });
    const refused = await this.post.refusalOf(input.target);
    if (refused !== undefined) return failed(refused);
    // What is recorded for a repetition has no secret in it.
    const made = await runCommand(this.db, { ctx, operation: createOperation, input }, async (tx): Promise<Result<WithSecret>> => {
      const mine = await countWebhooks(tx, actor.userId);
      if (mine >= mostPerUser) return RateLimited.fail(`You have ${mine} webhooks already; delete one first.`, { retryAfterMs: 60_000 });
      const position = await this.placeOf(tx, input.after);
      if (!position.ok) return position;
      const id = newUuid();
      await unlessTaken(input.name, async () => { await insertWebhook(tx, { id, number: await nextNumber(tx, noun), ownerId: actor.userId, name: input.name, target: input.target, filter: input.filter, position: position.value }); });
      return ok({ webhook: await this.told(tx, id, ctx), secret: '' });
    });
    return made.ok ? ok({ webhook: made.value.webhook, secret: secretText(secretOf(key, made.value.webhook.id, 1)) }) : made;
  }

  async list(input: InputOf<typeof listWebhooks>, ctx: BusContext): Promise<Result<ReplyOf<typeof listWebhooks>>> {
    const page = await pageOfWebhooks(this.db, whoOf(ctx), input);
    return page.ok ? ok({ items: page.value.rows, next: page.value.next }) : page;
  }

  get(webhookId: string, permission: Permission, ctx: BusContext): Promise<Result<Webhook>> {
    return this.may(this.db, webhookId, permission, ctx);
  }

  async deliveries(input: InputOf<typeof listWebhookDeliveries>, ctx: BusContext): Promise<Result<ReplyOf<typeof listWebhookDeliveries>>> {
    const seen = await this.may(this.db, input.webhookId, 'webhook.read', ctx);
    const page = seen.ok ? await pageOfDeliveries(this.db, input) : seen;
    return page.ok ? ok({ items: page.value.rows, next: page.value.next }) : page;
  }

  async update(input: InputOf<typeof updateWebhook>, ctx: BusContext): Promise<Result<Webhook>> {
    const refused = input.target === undefined ? undefined : await this.post.refusalOf(input.target);
    if (refused !== undefined) return failed(refused);
    return this.change(updateWebhook, input, ctx, async (tx, webhook) => {
      const { name = webhook.name, target = webhook.target, filter = webhook.filter, version } = input;
      if (version !== undefined && version !== webhook.version) return VersionConflict.fail('Somebody changed the webhook meanwhile.', { expected: version, actual: webhook.version });
      if (changes(input)) {
        if (!isOwn(webhook, ctx)) return PermissionDenied.fail('Name, target and filter are its owner’s alone to change.', { permission: 'webhook.write' });
        await unlessTaken(name, async () => { await changeWebhook(tx, webhook.id, { name, target, filter }); });
        // Another filter makes another delivery of what was begun.
        if (input.filter !== undefined) await replacePending(tx, webhook.id);
      }
      if (input.enabled === false) await disableWebhook(tx, webhook.id, 'asked', null);
      if (input.enabled === true || (input.target !== undefined && webhook.state === 'failing')) return this.enable(tx, webhook.id, webhook.position);
      return ok(undefined);
    });
  }

  /** Dies before the commit: nothing is changed. What is under way meanwhile moves the position of the place it began at, and no other. */
  replay(input: InputOf<typeof replayWebhook>, ctx: BusContext): Promise<Result<Webhook>> {
    return this.change(replayWebhook, input, ctx, async (tx, { id }) => {
      await replacePending(tx, id);
      return this.enable(tx, id, input.after);
    });
  }

  delete(input: InputOf<typeof deleting>, ctx: BusContext): Promise<Result<Done>> {
    return runCommand(this.db, { ctx, operation: deleteOperation, input }, async (tx): Promise<Result<Done>> => {
      const found = await this.may(tx, input.webhookId, 'webhook.write', ctx, 'FOR UPDATE');
      if (!found.ok) return found;
      await removeWebhook(tx, found.value, ctx);
      return ok({});
    });
  }

  async rotate(input: InputOf<typeof rotateWebhookSecret>, ctx: BusContext): Promise<Result<WithSecret>> {
    const { key } = this;
    if (key === undefined) return Unavailable.fail('This site has no key for the secrets of webhooks.', { service: 'monitoring' });
    const done = await runCommand(this.db, { ctx, operation: rotateWebhookSecret, input }, async (tx): Promise<Result<WithSecret>> => {
      const found = await this.may(tx, input.webhookId, 'webhook.write', ctx, 'FOR UPDATE');
      if (!found.ok) return found;
      if (!isOwn(found.value, ctx)) return PermissionDenied.fail('The secret is its owner’s alone.', { permission: 'webhook.write' });
      await rotateSecret(tx, input.webhookId);
      return ok({ webhook: await this.told(tx, input.webhookId, ctx), secret: '' });
    });
    return done.ok ? ok({ webhook: done.value.webhook, secret: secretText(secretOf(key, done.value.webhook.id, done.value.webhook.secretVersion)) }) : done;
  }

  private change<I extends { readonly webhookId: WebhookId }>(operation: Operation<z.ZodType<I>, typeof Webhook>, input: I, ctx: BusContext, work: (tx: EntityManager, webhook: Webhook) => Promise<Result<undefined>>): Promise<Result<Webhook>> {
    return runCommand(this.db, { ctx, operation, input }, async (tx): Promise<Result<Webhook>> => {
      const found = await this.may(tx, input.webhookId, 'webhook.write', ctx, 'FOR UPDATE');
      if (!found.ok) return found;
      const done = await work(tx, found.value);
      if (!done.ok) return done;
      afterCommit(tx, () => { this.waiters.wake(logNews); });
      return ok(await this.told(tx, input.webhookId, ctx));
    });
  }

  private async enable(tx: EntityManager, id: string, after: number): Promise<Result<undefined>> {
    const position = await this.placeOf(tx, after);
    if (!position.ok) return position;
    await enableWebhook(tx, id, position.value);
    return ok(undefined);
  }

  private async placeOf(tx: EntityManager, after: number | undefined): Promise<Result<number>> {
    const { last, first } = await reachOf(tx);
    if (after === undefined) return ok(last);
    if (isGone(after, first)) return failed(eventsGone(after, { firstSeq: first, lastSeq: last }));
    return ok(Math.min(after, last));
  }

  private async told(tx: EntityManager, id: string, ctx: BusContext): Promise<Webhook> {
    const found = await findWebhook(tx, id);
    if (found === undefined) throw new Error('a webhook vanished in the transaction that changed it');
    await tellOf(tx, found.shown, ctx);
    return found.shown;
  }

  private async may(tx: Parameters<typeof findWebhook>[0], id: string, permission: Permission, ctx: BusContext, lock = ''): Promise<Result<Webhook>> {
    const found = await findWebhook(tx, id, lock);
    return allowed(whoOf(ctx), permission, found?.shown, { noun, id, read: 'webhook.read' });
  }
}

const isOwn = ({ ownerId }: Webhook, { actor }: BusContext): boolean => actor?.userId === ownerId;
const changes = ({ name, target, filter }: { readonly name?: string | undefined; readonly target?: string | undefined; readonly filter?: EventFilter | undefined }): boolean => name !== undefined || target !== undefined || filter !== undefined;

async function unlessTaken(name: string, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (isDuplicate(error)) throw new FaultError(NameTaken.fault('You have a webhook of this name already.', { noun, name }));
    throw error;
  }
}

export async function removeWebhook(tx: EntityManager, { id, ownerId }: Pick<Webhook, 'id' | 'ownerId'>, ctx?: BusContext): Promise<void> {
  await deleteWebhook(tx, id);
  await emit(tx, webhookDeleted, { objectId: id, data: { webhookId: id, ownerId }, ...(ctx === undefined ? {} : { ctx }) });
}


/** Of a user who is gone. */
export async function removeWebhooksOf(tx: EntityManager, ownerId: string): Promise<void> {
  for (const id of await webhooksOf(tx, ownerId)) await removeWebhook(tx, { id, ownerId } as Pick<Webhook, 'id' | 'ownerId'>);
}
