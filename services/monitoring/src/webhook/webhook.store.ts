// Rows of webhooks and of what they have delivered; the only place that knows the tables. All times are the database's.
import type { EntityManager } from 'typeorm';
import type { ErrorBody, EventFilter, InputOf, listWebhookDeliveries, listWebhooks, SortsOf, UserId, Webhook, WebhookDelivery, WebhookDeliveryId, WebhookId } from '#contracts';
import { accessFilter, execute, fromBit, fromJson, isoAt, isoAtOrNull, pageQuery, selectRow, selectRows, sql, toJson, type Page, type Queryable, type Sql, type Who } from '#database';
import { ok, type Result } from '#kernel';

interface Row {
  id: string; number: number; owner_id: string; name: string; url: string; filter: unknown; active: number; disabled_reason: string | null; position: number | string; tries: number; failing_since: Date | null; next_try_at: Date | null;
  last_error: unknown; secret_version: number; rotated_at: Date | null; version: number; created_at: Date; updated_at: Date; rotated_lately: number | string | null;
}
const columns = `w.id, w.number, w.owner_id, w.name, w.url, w.filter, w.active, w.disabled_reason, w.position, w.tries, w.failing_since, w.next_try_at, w.last_error, w.secret_version, w.rotated_at, w.version, w.created_at, w.updated_at,
  (w.rotated_at > UTC_TIMESTAMP(3) - INTERVAL 24 HOUR) AS rotated_lately`;

/** A webhook as it is shown, and what only deliveries need. */
export interface StoredWebhook { readonly shown: Webhook; readonly tries: number; readonly secretVersions: readonly number[] }

const stateOf = (row: Row): Webhook['state'] => (!fromBit(row.active) ? 'disabled' : row.failing_since === null ? 'active' : 'failing');
const stored = (row: Row): StoredWebhook => ({
  shown: {
    id: row.id as WebhookId, ownerId: row.owner_id as UserId, name: row.name, target: row.url, filter: fromJson<EventFilter>(row.filter), state: stateOf(row), disabledReason: row.disabled_reason as Webhook['disabledReason'],
    position: Number(row.position), failingSince: isoAtOrNull(row.failing_since), nextTryAt: isoAtOrNull(row.next_try_at), lastError: row.last_error === null ? null : fromJson<ErrorBody>(row.last_error),
    secretVersion: row.secret_version, number: row.number, version: row.version, createdAt: isoAt(row.created_at), updatedAt: isoAt(row.updated_at),
  },
  tries: row.tries,
  secretVersions: row.secret_version > 1 && fromBit(row.rotated_lately) ? [row.secret_version, row.secret_version - 1] : [row.secret_version],
});

export interface NewWebhook { readonly id: string; readonly number: number; readonly ownerId: string; readonly name: string; readonly target: string; readonly filter: EventFilter; readonly position: number }
export const insertWebhook = (tx: Queryable, { id, number, ownerId, name, target, filter, position }: NewWebhook): Promise<number> =>
  execute(tx, 'INSERT INTO webhook (id, number, owner_id, name, url, filter, position, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(3), UTC_TIMESTAMP(3))', [id, number, ownerId, name, target, toJson(filter), position]);

export async function findWebhook(tx: Queryable, id: string, lock = ''): Promise<StoredWebhook | undefined> {
  const row = await selectRow<Row>(tx, `SELECT ${columns} FROM webhook w WHERE w.id = ? ${lock}`, [id]);
  return row && stored(row);
}

export async function countWebhooks(tx: Queryable, ownerId: string): Promise<number> {
  return Number((await selectRow<{ n: number | string }>(tx, 'SELECT COUNT(*) AS n FROM webhook WHERE owner_id = ?', [ownerId]))?.n ?? 0);
}

export const changeWebhook = (tx: Queryable, id: string, { name, target, filter }: Pick<NewWebhook, 'name' | 'target' | 'filter'>): Promise<number> =>
  execute(tx, 'UPDATE webhook SET name = ?, url = ?, filter = ?, version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ?', [name, target, toJson(filter), id]);

/** From here on it is tried at once, as if nothing had failed. */
export const enableWebhook = (tx: Queryable, id: string, position: number): Promise<number> =>
  execute(tx, 'UPDATE webhook SET active = 1, disabled_reason = NULL, position = ?, tries = 0, failing_since = NULL, next_try_at = NULL, last_error = NULL, version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ?', [position, id]);

/** False = it was disabled before, or is gone. */
export const disableWebhook = async (tx: Queryable, id: string, reason: NonNullable<Webhook['disabledReason']>, error: ErrorBody | null): Promise<boolean> =>
  (await execute(tx, 'UPDATE webhook SET active = 0, disabled_reason = ?, next_try_at = NULL, last_error = COALESCE(?, last_error), version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ? AND active = 1', [reason, error === null ? null : toJson(error), id])) === 1;

export const rotateSecret = (tx: Queryable, id: string): Promise<number> =>
  execute(tx, 'UPDATE webhook SET secret_version = secret_version + 1, rotated_at = UTC_TIMESTAMP(3), version = version + 1, updated_at = UTC_TIMESTAMP(3) WHERE id = ?', [id]);

export async function deleteWebhook(tx: Queryable, id: string): Promise<void> {
  await execute(tx, 'DELETE FROM webhook_delivery WHERE webhook_id = ?', [id]);
  await execute(tx, 'DELETE FROM webhook WHERE id = ?', [id]);
}

export const webhooksOf = async (tx: Queryable, ownerId: string): Promise<string[]> => (await selectRows<{ id: string }>(tx, 'SELECT id FROM webhook WHERE owner_id = ?', [ownerId])).map(({ id }) => id);

export async function pageOfWebhooks(db: Queryable, who: Who, input: InputOf<typeof listWebhooks>): Promise<Result<Page<Webhook>>> {
  const states: Readonly<Record<Webhook['state'], Sql>> = { active: sql`w.active = 1 AND w.failing_since IS NULL`, failing: sql`w.active = 1 AND w.failing_since IS NOT NULL`, disabled: sql`w.active = 0` };
  const page = await pageQuery<Row>(db, {
    select: columns, from: 'webhook w', id: 'w.id', input, orderBy: { number: 'w.number', name: 'w.name' } satisfies SortsOf<typeof listWebhooks>,
    where: [accessFilter(who, 'webhook.read', { id: 'w.id', ownerId: 'w.owner_id' }), input.state === undefined ? null : states[input.state]],
  });
  return page.ok ? ok({ rows: page.value.rows.map((row) => stored(row).shown), next: page.value.next }) : page;
}

/** Those that may have something to deliver now, the one that was tried longest ago first. */
export async function dueWebhooks(db: Queryable, last: number, most: number): Promise<StoredWebhook[]> {
  const rows = await selectRows<Row>(db, `SELECT ${columns} FROM webhook w WHERE w.active = 1 AND w.position < ? AND (w.next_try_at IS NULL OR w.next_try_at <= UTC_TIMESTAMP(3)) ORDER BY w.next_try_at, w.id LIMIT ?`, [last, most]);
  return rows.map(stored);
}

// Deliveries

interface DeliveryRow {
  id: string; webhook_id: string; state: string; test: number; after_seq: number | string; position: number | string; events: number; tries: number; status: number | null; took_ms: number | null; error: unknown; created_at: Date; ended_at: Date | null;
}
const deliveryColumns = 'd.id, d.webhook_id, d.state, d.test, d.after_seq, d.position, d.events, d.tries, d.status, d.took_ms, d.error, d.created_at, d.ended_at';
const delivery = (row: DeliveryRow): WebhookDelivery => ({
  id: row.id as WebhookDeliveryId, webhookId: row.webhook_id as WebhookId, state: row.state as WebhookDelivery['state'], test: fromBit(row.test), after: Number(row.after_seq), position: Number(row.position), events: row.events,
  tries: row.tries, status: row.status, tookMs: row.took_ms, error: row.error === null ? null : fromJson<ErrorBody>(row.error), createdAt: isoAt(row.created_at), endedAt: isoAtOrNull(row.ended_at),
});

export type NewDelivery = Pick<WebhookDelivery, 'webhookId' | 'test' | 'after' | 'position' | 'events'> & { readonly id: string };
export const insertDelivery = (tx: Queryable, { id, webhookId, test, after, position, events }: NewDelivery): Promise<number> =>
  execute(tx, "INSERT INTO webhook_delivery (id, webhook_id, state, test, after_seq, position, events, created_at) VALUES (?, ?, 'pending', ?, ?, ?, ?, UTC_TIMESTAMP(3))", [id, webhookId, test, after, position, events]);

export async function findDelivery(tx: Queryable, id: string): Promise<WebhookDelivery | undefined> {
  const row = await selectRow<DeliveryRow>(tx, `SELECT ${deliveryColumns} FROM webhook_delivery d WHERE d.id = ?`, [id]);
  return row && delivery(row);
}

/** What was begun and not yet taken: it is sent again as it is. */
export async function pendingDelivery(tx: Queryable, webhookId: string): Promise<WebhookDelivery | undefined> {
  const row = await selectRow<DeliveryRow>(tx, `SELECT ${deliveryColumns} FROM webhook_delivery d WHERE d.webhook_id = ? AND d.state = 'pending' AND d.test = 0 ORDER BY d.created_at LIMIT 1`, [webhookId]);
  return row && delivery(row);
}

/** False = somebody has ended it before. */
export const endDelivery = async (tx: Queryable, id: string, { state, status, tookMs, error }: Pick<WebhookDelivery, 'state' | 'status' | 'tookMs' | 'error'>): Promise<boolean> =>
  (await execute(tx, "UPDATE webhook_delivery SET state = ?, status = ?, took_ms = ?, error = ?, tries = tries + 1, ended_at = UTC_TIMESTAMP(3) WHERE id = ? AND state = 'pending'", [state, status, tookMs, error === null ? null : toJson(error), id])) === 1;

export const noteTry = async (tx: Queryable, id: string, { status, error }: { readonly status: number | null; readonly error: ErrorBody }): Promise<boolean> =>
  (await execute(tx, "UPDATE webhook_delivery SET status = ?, error = ?, tries = tries + 1 WHERE id = ? AND state = 'pending'", [status, toJson(error), id])) === 1;

export const replacePending = (tx: Queryable, webhookId: string): Promise<number> =>
  execute(tx, "UPDATE webhook_delivery SET state = 'replaced', ended_at = UTC_TIMESTAMP(3) WHERE webhook_id = ? AND state = 'pending' AND test = 0", [webhookId]);

/** In the transaction that records the delivery; only from the place where it began, so that a replay is not undone. */
export const movePosition = (tx: EntityManager | Queryable, webhookId: string, from: number, to: number): Promise<number> =>
  execute(tx, 'UPDATE webhook SET position = ?, tries = 0, failing_since = NULL, next_try_at = NULL, last_error = NULL WHERE id = ? AND position = ?', [to, webhookId, from]);

/** The next try is after `pauseMs`. Answers whether it has been failing for longer than `patienceMs`; undefined = it is gone or disabled. */
export async function noteFailure(tx: Queryable, webhookId: string, error: ErrorBody, pauseMs: number, patienceMs: number): Promise<boolean | undefined> {
  const met = await execute(tx, `UPDATE webhook SET tries = tries + 1, failing_since = COALESCE(failing_since, UTC_TIMESTAMP(3)), next_try_at = UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND, last_error = ? WHERE id = ? AND active = 1`, [pauseMs * 1000, toJson(error), webhookId]);
  if (met === 0) return undefined;
  const row = await selectRow<{ too_long: number | string }>(tx, 'SELECT failing_since <= UTC_TIMESTAMP(3) - INTERVAL ? MICROSECOND AS too_long FROM webhook WHERE id = ?', [patienceMs * 1000, webhookId]);
  return row !== undefined && fromBit(row.too_long);
}

export async function pageOfDeliveries(db: Queryable, input: InputOf<typeof listWebhookDeliveries>): Promise<Result<Page<WebhookDelivery>>> {
  const page = await pageQuery<DeliveryRow>(db, {
    select: deliveryColumns, from: 'webhook_delivery d', id: 'd.id', input, preset: '-createdAt', orderBy: { createdAt: 'd.created_at' } satisfies SortsOf<typeof listWebhookDeliveries>,
    where: [sql`d.webhook_id = ${input.webhookId}`, input.state === undefined ? null : sql`d.state = ${input.state}`],
  });
  return page.ok ? ok({ rows: page.value.rows.map(delivery), next: page.value.next }) : page;
}

const keepDays = 30;
const keepEach = 1_000;

/** Forgets what was delivered long ago, and of each webhook all but the last thousand; at most `limit` at once. */
export async function purgeDeliveries(db: Queryable, limit: number): Promise<number> {
  const tooOld = await execute(db, `DELETE FROM webhook_delivery WHERE ended_at < UTC_TIMESTAMP(3) - INTERVAL ${keepDays} DAY ORDER BY ended_at LIMIT ?`, [limit]);
  if (tooOld === limit) return limit;
  let tooMany = 0;
  for (const { id } of await selectRows<{ id: string }>(db, 'SELECT id FROM webhook')) {
    const last = await selectRow<{ created_at: Date }>(db, `SELECT created_at FROM webhook_delivery WHERE webhook_id = ? ORDER BY created_at DESC LIMIT 1 OFFSET ${keepEach}`, [id]);
    if (last !== undefined) tooMany += await execute(db, "DELETE FROM webhook_delivery WHERE webhook_id = ? AND created_at <= ? AND state <> 'pending' ORDER BY created_at LIMIT ?", [id, last.created_at, limit]);
  }
  return Math.min(limit, tooOld + tooMany);
}
