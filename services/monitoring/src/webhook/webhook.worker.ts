// Delivers what webhooks wait for: one process at a time (a lease), each webhook's deliveries one behind the other. What is about
// to be sent is a row first, and the webhook's position moves in the transaction that records that it was taken:
//   dies before the row: nothing was sent; after it, or after sending: sent again under the same id, which the receiver knows;
//   after the record: it goes on behind it. A process that was paused and thawed records nothing that another has recorded.
import type { DataSource } from 'typeorm';
import type { BusClient, BusContext } from '#bus';
import { eventsGone, isGone, NotFound, resolveHolder, testWebhook, Unauthenticated, type Actor, type InputOf, type LogEntry, type Webhook, type WebhookDelivery } from '#contracts';
import { afterCommit, transaction } from '#database';
import { newUuid, ok, sleep, type Fault, type Result } from '#kernel';
import { auditMutation, holdLease, processName, releaseLease, wireFault, type Lease, type TaskLog } from '#tasks';
import { logNews } from '../event/event.reader.ts';
import { lastSeq, readEntries, reachOf, type Entries } from '../event/event.store.ts';
import type { TaskWaiters } from '../task/task.waiters.ts';
import type { SiteKey } from './webhook-key.ts';
import { bodyText, pauseBefore, secretOf, signedHeaders } from './webhook.ts';
import { tellOf } from './webhook.commands.ts';
import type { Posted, WebhookPost } from './webhook-post.client.ts';
import { disableWebhook, dueWebhooks, endDelivery, findDelivery, findWebhook, insertDelivery, movePosition, noteFailure, noteTry, pendingDelivery, type StoredWebhook } from './webhook.store.ts';

export interface SenderParts {
  readonly db: DataSource;
  readonly bus: Pick<BusClient, 'request'>;
  readonly waiters: TaskWaiters;
  readonly post: Pick<WebhookPost, 'send'>;
  readonly key: SiteKey;
  readonly log: TaskLog;
  /** Disabled after so long without success, ms. */
  readonly patienceMs: number;
}

const LEASE = 'webhooks';
const LEASE_MS = 10_000;
const roundMs = 1_000;
/** However fast the log goes on, webhooks look at it in gulps. */
const gulpMs = 100;
/** Nobody says that the answerer has died: a plain question is asked anew when it has not been answered by then. */
const lostAfterMs = 3_000;
const atOnce = 16;
const mostEvents = 100;
const mostBytes = 256 * 1024;
/** What nobody wants is passed over in memory for so long before the position is written. */
const passedOver = 1_000;

export class WebhookSender {
  private readonly holder = `webhooks:${processName()}`;
  /** How far each has looked beyond its position, where nothing was for it; of the position and the version that it had then. */
  private readonly looked = new Map<string, { readonly of: string; readonly position: number }>();
  private readonly lanes = new Map<string, Promise<void>>();
  private heldUntil = 0;

  constructor(private readonly parts: SenderParts) {}

  /** One tenure: until `signal` aborts or another process has the lease. */
  async deliver(signal: AbortSignal): Promise<void> {
    const { db } = this.parts;
    const lease = await holdLease(db, LEASE, this.holder, LEASE_MS);
    if (lease === null) return;
    const lost = new AbortController();
    const over = AbortSignal.any([signal, lost.signal]);
    this.heldUntil = performance.now() + LEASE_MS;
    const renewing = setInterval(() => { void this.renew(lost); }, LEASE_MS / 3);
    try {
      while (!over.aborted) await this.round(over);
      await Promise.all(this.lanes.values());
    } finally {
      clearInterval(renewing);
      this.looked.clear();
      if (!lost.signal.aborted) await this.release(lease);
    }
  }

  private async renew(lost: AbortController): Promise<void> {
    const askedAt = performance.now();
    try {
      if ((await holdLease(this.parts.db, LEASE, this.holder, LEASE_MS)) === null) lost.abort();
      else this.heldUntil = askedAt + LEASE_MS;
    } catch (error) {
      this.parts.log.warn({ err: error }, 'the lease of the webhooks could not be renewed');
      if (performance.now() > this.heldUntil) lost.abort();
    }
  }

  private release(lease: Lease): Promise<void> {
    return releaseLease(this.parts.db, lease).catch((error: unknown) => { this.parts.log.warn({ err: error }, 'the lease of the webhooks could not be given back; it runs out'); });
  }

  private async round(over: AbortSignal): Promise<void> {
    const { db, waiters } = this.parts;
    const last = await lastSeq(db);
    const due = (await dueWebhooks(db, last, 1_000)).filter((webhook) => !this.lanes.has(webhook.shown.id) && this.placeOf(webhook) < last);
    for (const webhook of due) {
      if (this.lanes.size >= atOnce) await Promise.race(this.lanes.values());
      if (over.aborted) return;
      const lane = this.lane(webhook.shown.id, over).finally(() => { this.lanes.delete(webhook.shown.id); });
      this.lanes.set(webhook.shown.id, lane);
    }
    await sleep(gulpMs, over);
    if ((await lastSeq(db)) === last) await waiters.news(logNews, roundMs, over);
  }

  /** Everything that one webhook has to deliver, as long as it is taken. */
  private async lane(id: string, over: AbortSignal): Promise<void> {
    try {
      while (!over.aborted && (await this.step(id, over)));
    } catch (error) {
      this.parts.log.error({ err: error, webhookId: id }, 'a webhook met an error that nobody expected; it is tried again');
      await sleep(roundMs, over);
    }
  }

  /** True = there may be more. */
  private async step(id: string, over: AbortSignal): Promise<boolean> {
    const { db } = this.parts;
    const webhook = await findWebhook(db, id);
    if (webhook === undefined || webhook.shown.state === 'disabled') return false;
    const owner = await this.ownerOf(webhook.shown);
    if (!owner.ok) return this.without(webhook.shown, owner.fault);
    const pending = await pendingDelivery(db, id);
    const page = await this.read(webhook, owner.value, pending);
    const { last, first } = await reachOf(db);
    const begin = pending?.after ?? this.placeOf(webhook);
    if (isGone(begin, first)) return this.disable(webhook.shown, 'events-gone', eventsGone(begin, { firstSeq: first, lastSeq: last }));
    if (page.items.length === 0) return pending === undefined ? this.passOver(webhook, page) : this.drop(webhook.shown, pending);
    const delivery = pending ?? (await this.begin(webhook, page));
    return delivery === undefined || over.aborted ? false : this.send(webhook, delivery, page.items, over);
  }

  /** With the rights that he has now. */
  private async ownerOf({ ownerId }: Webhook): Promise<Result<Actor>> {
    const found = await this.parts.bus.request(resolveHolder, { holder: { kind: 'user', id: ownerId } }, { as: 'system', timeoutMs: lostAfterMs });
    return found.ok ? ok(found.value.actor) : found;
  }

  private async without(webhook: Webhook, fault: Fault): Promise<boolean> {
    if (fault.code === Unauthenticated.code) return this.disable(webhook, 'owner', Unauthenticated.fault('The owner of this webhook is disabled or gone.'));
    this.parts.log.debug({ webhookId: webhook.id, code: fault.code }, 'the owner of a webhook cannot be asked for now');
    return false;
  }

  private placeOf({ shown: { id, position, version } }: StoredWebhook): number {
    const looked = this.looked.get(id);
    return looked?.of === `${position} ${version}` ? Math.max(position, looked.position) : position;
  }

  private async read(webhook: StoredWebhook, who: Actor, pending: WebhookDelivery | undefined): Promise<Pick<Entries, 'items' | 'position'>> {
    const { filter } = webhook.shown;
    if (pending === undefined) return fitting(await readEntries(this.parts.db, who, { after: this.placeOf(webhook), limit: mostEvents, filter }));
    const { items, position } = await readEntries(this.parts.db, who, { after: pending.after, limit: mostEvents, filter });
    return { items: items.filter(({ globalSeq }) => globalSeq <= pending.position), position };
  }

  private async passOver({ shown: { id, position, version } }: StoredWebhook, page: Pick<Entries, 'position'>): Promise<boolean> {
    this.looked.set(id, { of: `${position} ${version}`, position: page.position });
    if (page.position - position < passedOver) return false;
    await movePosition(this.parts.db, id, position, page.position);
    return false;
  }

  /** Its owner may see none of it any more. */
  private async drop({ id }: Webhook, pending: WebhookDelivery): Promise<boolean> {
    return transaction(this.parts.db, async (tx) => {
      if (await endDelivery(tx, pending.id, { state: 'replaced', status: null, tookMs: null, error: null })) await movePosition(tx, id, pending.after, pending.position);
      return true;
    });
  }

  private begin({ shown: { id, position, version } }: StoredWebhook, { items }: Pick<Entries, 'items'>): Promise<WebhookDelivery | undefined> {
    return transaction(this.parts.db, async (tx) => {
      const now = await findWebhook(tx, id, 'FOR UPDATE');
      // Changed, or sent by another, since it was read.
      if (now === undefined || now.shown.position !== position || now.shown.version !== version || (await pendingDelivery(tx, id)) !== undefined) return undefined;
      const deliveryId = newUuid();
      await insertDelivery(tx, { id: deliveryId, webhookId: id, test: false, after: position, position: items.at(-1)!.globalSeq, events: items.length });
      return findDelivery(tx, deliveryId);
    });
  }

  private async send(webhook: StoredWebhook, delivery: WebhookDelivery, items: readonly LogEntry[], over: AbortSignal): Promise<boolean> {
    const posted = await this.posted(webhook, delivery, items, over);
    if (posted.ok) return this.taken(webhook.shown, delivery, posted.value);
    // We are leaving: whether it was taken is not known, and it is sent again.
    if (over.aborted) return false;
    await this.failed(webhook, delivery, posted.fault);
    return false;
  }

  private async posted(webhook: StoredWebhook, { id, after, position, test }: Pick<WebhookDelivery, 'id' | 'after' | 'position' | 'test'>, items: readonly LogEntry[], signal: AbortSignal): Promise<Result<Posted>> {
    const { key, post } = this.parts;
    if (key === undefined) throw new Error('a webhook is there without a key for its secret: TOK_DATA_DIR is not set any more');
    const { id: webhookId, target: url } = webhook.shown;
    const body = bodyText({ webhookId, test, after, position, items });
    return post.send({ url, body, signal, headers: signedHeaders({ id, at: new Date(), body, secrets: webhook.secretVersions.map((version) => secretOf(key, webhookId, version)) }) });
  }

  private taken(webhook: Webhook, { id, after, position }: WebhookDelivery, { status, tookMs }: Posted): Promise<boolean> {
    return transaction(this.parts.db, async (tx) => {
      if (!(await endDelivery(tx, id, { state: 'delivered', status, tookMs, error: null }))) return true;
      await movePosition(tx, webhook.id, after, position);
      if (webhook.state === 'failing') await this.tell(tx, webhook.id);
      return true;
    });
  }

  private failed({ shown: webhook, tries }: StoredWebhook, { id }: WebhookDelivery, fault: Fault): Promise<void> {
    const error = wireFault(fault, null);
    return transaction(this.parts.db, async (tx) => {
      if (!(await noteTry(tx, id, { status: statusOf(fault), error }))) return;
      const tooLong = await noteFailure(tx, webhook.id, error, pauseBefore(tries + 1, Math.random()), this.parts.patienceMs);
      if (tooLong === true) await disableWebhook(tx, webhook.id, 'failed-too-long', error);
      if (tooLong === true || webhook.state === 'active') await this.tell(tx, webhook.id);
    });
  }

  private disable({ id }: Webhook, reason: NonNullable<Webhook['disabledReason']>, fault: Fault): Promise<boolean> {
    return transaction(this.parts.db, async (tx) => {
      if (await disableWebhook(tx, id, reason, wireFault(fault, null))) await this.tell(tx, id);
      afterCommit(tx, () => { this.parts.log.warn({ webhookId: id, reason }, 'a webhook was disabled'); });
      return false;
    });
  }

  private async tell(tx: Parameters<typeof tellOf>[0], id: string): Promise<void> {
    const now = await findWebhook(tx, id);
    if (now !== undefined) await tellOf(tx, now.shown);
  }

  /** Sends a message without events now, whatever waits. Sent twice under one key, it is two messages: that is what was asked. */
  async test({ id }: Webhook, input: InputOf<typeof testWebhook>, ctx: BusContext): Promise<Result<WebhookDelivery>> {
    const { db } = this.parts;
    const webhook = await findWebhook(db, id);
    if (webhook === undefined) return NotFound.fail('The webhook was deleted meanwhile.', { noun: 'webhook', id });
    const { position } = webhook.shown;
    const sent = { id: newUuid() as WebhookDelivery['id'], webhookId: id, test: true, after: position, position, events: 0 };
    const posted = await this.posted(webhook, sent, [], ctx.signal);
    const ended = posted.ok ? { state: 'delivered' as const, ...posted.value, error: null } : { state: 'failed' as const, status: statusOf(posted.fault), tookMs: null, error: wireFault(posted.fault, ctx.traceId) };
    return transaction(db, async (tx) => {
      await insertDelivery(tx, sent);
      await endDelivery(tx, sent.id, ended);
      await auditMutation(tx, { ctx, operation: testWebhook, input, reply: {} });
      const shown = await findDelivery(tx, sent.id);
      if (shown === undefined) throw new Error('a delivery vanished in the transaction that recorded it');
      return ok(shown);
    });
  }
}

function statusOf({ details }: Fault): number | null {
  const status = details?.['status'];
  return typeof status === 'number' ? status : null;
}

/** As many as one message should carry, and at least one. */
function fitting({ items, position }: Entries): Pick<Entries, 'items' | 'position'> {
  let room = mostBytes;
  const tooMany = items.findIndex(({ text }, index) => (room -= text.length) < 0 && index > 0);
  return tooMany === -1 ? { items, position } : { items: items.slice(0, tooMany), position: items[tooMany - 1]!.globalSeq };
}

