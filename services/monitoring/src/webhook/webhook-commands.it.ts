// Whose webhooks are: what their owners, and others with the right, may do with them; secrets; addresses.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { createWebhook, deleteWebhook, listWebhookDeliveries, listWebhooks, rotateWebhookSecret, testWebhook, updateWebhook, type Actor, type WebhookId } from '#contracts';
import { newUuid, orThrow } from '#kernel';
import { contextOf } from '#testing';
import { role, user, userId } from '../monitoring.fixture.ts';
import { transaction } from '#database';
import { networks } from './address.ts';
import { Receiver, WebhookWorld } from './webhook.fixture.ts';
import { WebhookPost } from './webhook-post.client.ts';
import { removeWebhooksOf, WebhookCommands } from './webhook.commands.ts';
import { purgeDeliveries } from './webhook.store.ts';

let world: WebhookWorld;
let receiver: Receiver;
beforeAll(async () => { world = await WebhookWorld.open('hookcommands'); });
beforeEach(async () => {
  await world.clear();
  receiver = new Receiver();
  await receiver.start();
});
afterEach(() => receiver.kill());
afterAll(() => world.close());

const as = (actor: Actor, key: string | null = null) => contextOf({ actor, idempotencyKey: key });
const code = (answer: { ok: true } | { ok: false; fault: { code: string } }): string => (answer.ok ? 'OK' : answer.fault.code);
const create = (over: object) => createWebhook.input.parse({ name: 'hook', target: receiver.url, ...over });

describe('a webhook', () => {
  it('is seen and changed by its owner; others with the right look, stop and delete, and change nothing about where it goes', async () => {
    const [owner, other, viewer, operator, administrator] = [user(), user(), user(userId(), [role('viewer')]), user(userId(), [role('operator')]), user(userId(), [role('administrator')])];
    const { webhook: { id: webhookId } } = await world.make(owner, { target: receiver.url });
    const { commands } = world;
    const codes = async (who: Actor) => [
      code(await commands.get(webhookId, 'webhook.read', as(who))), code(await commands.deliveries(listWebhookDeliveries.input.parse({ webhookId }), as(who))),
      code(await commands.update(updateWebhook.input.parse({ webhookId, target: receiver.url }), as(who))), code(await commands.rotate({ webhookId }, as(who))), code(await commands.update({ webhookId, enabled: false }, as(who))),
      orThrow(await commands.list(listWebhooks.input.parse({}), as(who))).items.length,
    ];
    expect(await codes(owner)).toEqual(['OK', 'OK', 'OK', 'OK', 'OK', 1]);
    for (const who of [other, viewer, operator]) expect(await codes(who)).toEqual(['NOT_FOUND', 'NOT_FOUND', 'NOT_FOUND', 'NOT_FOUND', 'NOT_FOUND', 0]);
    expect(await codes(administrator)).toEqual(['OK', 'OK', 'PERMISSION_DENIED', 'PERMISSION_DENIED', 'OK', 1]);
    expect(code(await commands.delete({ webhookId }, as(viewer)))).toBe('NOT_FOUND');
    expect(code(await commands.delete({ webhookId }, as(administrator)))).toBe('OK');
    expect(await world.deliveries(webhookId)).toEqual([]);
  });

  it('has a secret that is shown when it is made, also to the same request again, and is written nowhere', async () => {
    const owner = user();
    const made = orThrow(await world.commands.create(create({}), as(owner, 'key')));
    expect(orThrow(await world.commands.create(create({}), as(owner, 'key')))).toEqual(made);
    expect(code(await world.commands.create(create({ name: 'other' }), as(owner, 'key')))).toBe('IDEMPOTENCY_KEY_REUSED');
    const rotated = orThrow(await world.commands.rotate({ webhookId: made.webhook.id }, as(owner, 'rotate')));
    expect(rotated.secret).not.toBe(made.secret);
    expect(orThrow(await world.commands.rotate({ webhookId: made.webhook.id }, as(owner, 'rotate'))).secret).toBe(rotated.secret);
    for (const table of ['webhook', 'task_command', 'outbox']) expect(JSON.stringify(await world.db.query(`SELECT * FROM ${table}`))).not.toMatch(/whsec_./);
  });

  it('has one name with one owner, and there are not too many', async () => {
    const [owner, other] = [user(), user()];
    await world.make(owner, { target: receiver.url });
    expect(code(await world.commands.create(create({}), as(owner)))).toBe('NAME_TAKEN');
    expect(code(await world.commands.create(create({}), as(other)))).toBe('OK');
    for (let count = 1; count < 20; count++) await world.make(owner, { name: `hook ${count}`, target: receiver.url });
    expect(code(await world.commands.create(create({ name: 'one more' }), as(owner)))).toBe('RATE_LIMITED');
  });

  it('is not overwritten by who has not seen its last version', async () => {
    const owner = user();
    const { webhook } = await world.make(owner, { target: receiver.url });
    expect(code(await world.commands.update({ webhookId: webhook.id, name: 'new', version: webhook.version }, as(owner)))).toBe('OK');
    expect(code(await world.commands.update({ webhookId: webhook.id, name: 'newer', version: webhook.version }, as(owner)))).toBe('VERSION_CONFLICT');
  });

  it('goes with its owner', async () => {
    const owner = user();
    await world.make(owner, { target: receiver.url });
    await transaction(world.db, (tx) => removeWebhooksOf(tx, owner.userId));
    expect(orThrow(await world.commands.list(listWebhooks.input.parse({}), contextOf({ system: true }))).items).toEqual([]);
  });

  it('cannot be made where there is no key for its secret', async () => {
    const without = new WebhookCommands(world.db, undefined, world.post, world.waiters);
    expect(code(await without.create(create({}), as(user())))).toBe('UNAVAILABLE');
  });
});

describe('an address', () => {
  const strict = () => new WebhookCommands(world.db, world.key, new WebhookPost(networks([])), world.waiters);

  it.each(['http://127.0.0.1/', 'http://0x7f.1/', 'http://[::1]:8080/', 'http://169.254.169.254/latest', 'http://localhost:9/', 'https://10.0.0.1/'])('%s is refused', async (url) => {
    expect(code(await strict().create(create({ target: url }), as(user())))).toBe('ADDRESS_REFUSED');
  });

  it('is looked at when it is sent to as well: what resolves to another address by then is not reached', async () => {
    const post = new WebhookPost(networks([]), 1_000);
    for (const url of [receiver.url, receiver.url.replace('127.0.0.1', 'localhost')]) {
      expect(await post.send({ url, headers: {}, body: '{}', signal: new AbortController().signal })).toMatchObject({ ok: false, fault: { code: 'ADDRESS_REFUSED' } });
    }
    expect(receiver.received).toEqual([]);
    const { webhook } = await world.make(user(), { target: receiver.url });
    expect(code(await strict().update({ webhookId: webhook.id, target: 'http://192.168.1.1/' }, as(user(webhook.ownerId))))).toBe('ADDRESS_REFUSED');
  });

  it.each(['ftp://example.com/', 'http://user:pass@example.com/', 'http://example.com/#x', 'nonsense', 'file:///etc/passwd'])('%s is none', (url) => {
    expect(createWebhook.input.safeParse({ name: 'hook', target: url }).success).toBe(false);
  });
});

describe('a test', () => {
  it('says what the receiver answered, moves nothing, and is in the log', async () => {
    const owner = user();
    const { webhook } = await world.make(owner, { target: receiver.url });
    const { sender, end } = world.start();
    const send = () => sender.test(webhook, testWebhook.input.parse({ webhookId: webhook.id }), as(owner));
    expect(orThrow(await send())).toMatchObject({ state: 'delivered', test: true, status: 204, tries: 1, events: 0 });
    receiver.behave = (_request, response) => { response.writeHead(418).end(); };
    expect(orThrow(await send())).toMatchObject({ state: 'failed', status: 418, error: { code: 'RECEIVER_FAILED' } });
    expect(receiver.received.map(({ body }) => [body.test, body.events])).toEqual([[true, []], [true, []]]);
    expect(await world.find(webhook.id)).toMatchObject({ state: 'active', position: webhook.position });
    expect(orThrow(await world.commands.deliveries(listWebhookDeliveries.input.parse({ webhookId: webhook.id, state: 'failed' }), as(owner))).items).toHaveLength(1);
    await end();
  });

  it('deletes nothing that is still to be sent when the log is cut', async () => {
    const owner = user();
    const { webhook } = await world.make(owner, { target: receiver.url });
    const rows = Array.from({ length: 1_010 }, (_, index) => `('${newUuid()}', '${webhook.id}', '${index === 0 ? 'pending' : 'delivered'}', 0, 0, 1, 1, UTC_TIMESTAMP(3) - INTERVAL ${2_000 - index} SECOND, UTC_TIMESTAMP(3))`);
    await world.db.query(`INSERT INTO webhook_delivery (id, webhook_id, state, test, after_seq, position, events, created_at, ended_at) VALUES ${rows.join(', ')}`);
    expect(await purgeDeliveries(world.db, 2_000)).toBe(9);
    await world.db.query("UPDATE webhook_delivery SET ended_at = UTC_TIMESTAMP(3) - INTERVAL 31 DAY WHERE state = 'delivered' LIMIT 500");
    expect(await purgeDeliveries(world.db, 2_000)).toBe(500);
    expect((await world.deliveries(webhook.id)).filter(({ state }) => state === 'pending')).toHaveLength(1);
  });
});

it('who asks for a webhook that is not there is told so', async () => {
  const webhookId = newUuid() as WebhookId;
  expect(code(await world.commands.delete(deleteWebhook.input.parse({ webhookId }), as(user())))).toBe('NOT_FOUND');
  expect(code(await world.commands.rotate(rotateWebhookSecret.input.parse({ webhookId }), as(user())))).toBe('NOT_FOUND');
});
