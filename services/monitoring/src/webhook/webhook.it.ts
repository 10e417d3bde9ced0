// Webhooks against a receiver that takes, refuses, hangs, dies and comes back, and senders that die or are thawed: in order, each
// event at least once, repeats known by their id, and nothing that the owner may not see.
import { createHmac } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { WebhookBody } from '#contracts';
import { ok } from '#kernel';
import { until } from '#testing';
import { purgeEvents } from '../event/event.store.ts';
import { event, role, user, userId } from '../monitoring.fixture.ts';
import { Receiver, WebhookWorld } from './webhook.fixture.ts';

let world: WebhookWorld;
let receiver: Receiver;
const viewer = () => user(userId(), [role('viewer')]);
const upTo = (last: number, from = 1): number[] => Array.from({ length: last - from + 1 }, (_, index) => from + index);

beforeAll(async () => { world = await WebhookWorld.open('webhooks'); });
beforeEach(async () => {
  await world.clear();
  receiver = new Receiver();
  await receiver.start();
});
afterEach(async () => {
  await world.stop();
  await receiver.kill();
});
afterAll(() => world.close());

const seen = (count: number) => until(`the receiver has ${count} events`, () => new Set(receiver.seqs).size >= count);

describe('a webhook', () => {
  it('delivers what came after its place and what comes, in order, signed, and records it', async () => {
    const before = await world.lastSeq();
    await world.happen(250);
    const { webhook, secret } = await world.make(viewer(), { target: receiver.url, after: before + 5 });
    world.start();
    await seen(245);
    await world.happen(3);
    await seen(248);
    expect(receiver.seqs).toEqual(upTo(before + 253, before + 6));
    for (const { id, headers, text, body } of receiver.received) {
      WebhookBody.parse(JSON.parse(text));
      const timestamp = String(headers['webhook-timestamp']);
      expect(headers['webhook-signature']).toBe(`v1,${createHmac('sha256', Buffer.from(secret.slice('whsec_'.length), 'base64')).update(`${id}.${timestamp}.${text}`).digest('base64')}`);
      expect(body.events.length).toBeLessThanOrEqual(100);
    }
    expect(receiver.received.slice(1).map(({ body }) => body.after)).toEqual(receiver.received.slice(0, -1).map(({ body }) => body.position));
    await until('the last is recorded', async () => (await world.find(webhook.id)).position === before + 253);
    expect(await world.deliveries(webhook.id)).toEqual(receiver.received.map(({ id }) => ({ id, state: 'delivered', tries: 1 })));
  }, 30_000);

  it('is tried again with the same id until it is taken, and nothing passes it', async () => {
    const { webhook } = await world.make(viewer(), { target: receiver.url });
    receiver.behave = (_request, response) => { response.writeHead(receiver.received.length < 3 ? 503 : 200).end('x'.repeat(300_000)); };
    world.start();
    await world.happen();
    await until('it is failing', async () => (await world.find(webhook.id)).state === 'failing');
    expect(await world.find(webhook.id)).toMatchObject({ lastError: { code: 'RECEIVER_FAILED', details: { status: 503 } }, nextTryAt: expect.any(String) });
    await world.happen();
    await seen(2);
    await until('all is recorded', async () => (await world.find(webhook.id)).position === (await world.lastSeq()));
    expect(new Set(receiver.received.slice(0, 3).map(({ id, text }) => `${id} ${text}`)).size).toBe(1);
    expect(receiver.seqs.slice(-1)).toEqual([await world.lastSeq()]);
    expect((await world.deliveries(webhook.id)).map(({ state, tries }) => [state, tries])).toEqual([['delivered', 3], ['delivered', 1]]);
    expect(await world.states()).toEqual(['active', 'failing', 'active']);
  }, 30_000);

  it('goes on when a receiver that hung, and then was gone, is there again', async () => {
    const { webhook } = await world.make(viewer(), { target: receiver.url });
    receiver.behave = () => undefined;
    world.start();
    await world.happen();
    await until('it hung', async () => String((await world.find(webhook.id)).lastError?.detail).includes('not within'));
    await receiver.kill();
    await until('it is gone', async () => String((await world.find(webhook.id)).lastError?.detail).includes('ECONN'));
    receiver.behave = (_request, response) => { response.writeHead(200).end(); };
    await receiver.start();
    await until('it is active again', async () => (await world.find(webhook.id)).state === 'active');
    expect(new Set(receiver.received.map(({ id }) => id)).size).toBe(1);
  }, 30_000);

  it('sends no redirect after, and nothing to where it may not', async () => {
    const other = new Receiver();
    await other.start();
    receiver.behave = (_request, response) => { response.writeHead(302, { location: other.url }).end(); };
    const { webhook } = await world.make(viewer(), { target: receiver.url });
    world.start();
    await world.happen();
    await until('it failed', async () => (await world.find(webhook.id)).lastError?.details?.['status'] === 302);
    expect(other.received).toEqual([]);
    await other.kill();
  });

  it('is disabled, visibly, when it has failed for too long, and goes on with what it had begun when it is enabled', async () => {
    receiver.behave = (_request, response) => { response.writeHead(500).end(); };
    const owner = viewer();
    const { webhook } = await world.make(owner, { target: receiver.url });
    world.start({ patienceMs: 0 });
    await world.happen();
    await until('it is disabled', async () => (await world.find(webhook.id)).state === 'disabled');
    expect(await world.find(webhook.id)).toMatchObject({ disabledReason: 'failed-too-long', lastError: { code: 'RECEIVER_FAILED' } });
    expect(await world.states()).toEqual(['active', 'disabled']);
    receiver.behave = (_request, response) => { response.writeHead(200).end(); };
    await world.change(owner, { webhookId: webhook.id, enabled: true });
    await until('it is delivered', async () => (await world.find(webhook.id)).position === (await world.lastSeq()));
    expect(new Set(receiver.received.map(({ id }) => id)).size).toBe(1);
  });

  it('passes over what its filter does not want, and what its owner may not see', async () => {
    const owner = user();
    const before = await world.lastSeq();
    const { webhook } = await world.make(owner, { target: receiver.url, filter: { names: ['compute.vm.*'] } });
    await world.happen(1_200);
    const mine = { actor: { userId: owner.userId, handle: 'me' } };
    await world.told(event(mine), event({ ...mine, name: 'storage.volume.changed' }), event({ ...mine, name: 'compute.vm.deleted' }));
    world.start();
    await seen(2);
    expect(receiver.seqs).toEqual([before + 1_201, before + 1_203]);
    await until('its place is known', async () => (await world.find(webhook.id)).position === before + 1_203);
  }, 30_000);

  it('shows nothing more of what its owner has lost the right to, also of what was begun', async () => {
    const owner = viewer();
    const { webhook } = await world.make(owner, { target: receiver.url });
    receiver.behave = (_request, response) => { response.writeHead(500).end(); };
    world.start();
    await world.happen(2);
    await until('it was tried', async () => (await world.find(webhook.id)).state === 'failing');
    world.users.set(owner.userId, { ...owner, rights: [] });
    const tried = receiver.received.length;
    receiver.behave = (_request, response) => { response.writeHead(200).end(); };
    await world.told(event({ actor: { userId: owner.userId, handle: 'me' } }));
    await until('his own came', () => receiver.received.at(-1)?.body.events.some(({ globalSeq }) => globalSeq > webhook.position + 2));
    await until('it is recorded', async () => (await world.find(webhook.id)).position === (await world.lastSeq()));
    expect(receiver.received.slice(tried).flatMap(({ body }) => body.events)).toHaveLength(1);
    expect((await world.deliveries(webhook.id)).map(({ state }) => state)).toEqual(['replaced', 'delivered']);
  }, 30_000);

  it('waits while auth is away, and ends with its owner', async () => {
    const owner = viewer();
    const { webhook } = await world.make(owner, { target: receiver.url });
    world.authIsAway = true;
    world.start();
    await world.happen();
    world.authIsAway = false;
    await seen(1);
    world.users.delete(owner.userId);
    await world.happen();
    await until('it is disabled', async () => (await world.find(webhook.id)).disabledReason === 'owner');
    expect(receiver.received).toHaveLength(1);
  });
});

describe('a sender', () => {
  it('that dies between sending and recording leaves a repeat with the same id, and the place moves once', async () => {
    const before = await world.lastSeq();
    const { webhook } = await world.make(viewer(), { target: receiver.url });
    await world.happen(2);
    const dead = Promise.withResolvers<never>();
    const dying = world.start({ post: { send: async (post) => {
      await world.post.send(post);
      return dead.promise;
    } } });
    await seen(2);
    // Nobody hears from it any more: its lease runs out.
    const buried = dying.end();
    world.forget();
    expect((await world.find(webhook.id)).position).toBe(before);
    await world.db.query('UPDATE relay_lease SET held_until = UTC_TIMESTAMP(3) - INTERVAL 1 SECOND');
    world.start();
    await until('it is recorded', async () => (await world.find(webhook.id)).position === before + 2);
    expect(receiver.received.map(({ id, text }) => `${id} ${text}`)).toEqual(Array<string>(2).fill(`${receiver.received[0]!.id} ${receiver.received[0]!.text}`));
    expect((await world.deliveries(webhook.id)).map(({ state }) => state)).toEqual(['delivered']);
    dead.reject(new Error('it is dead'));
    await buried;
  }, 30_000);

  it('that was paused and thawed records nothing that another has recorded', async () => {
    const before = await world.lastSeq();
    const { webhook } = await world.make(viewer(), { target: receiver.url });
    await world.happen(2);
    const thaw = Promise.withResolvers<undefined>();
    const thawed = Promise.withResolvers<undefined>();
    world.start({ post: { send: async (post) => {
      await world.post.send({ ...post, signal: new AbortController().signal });
      await thaw.promise;
      setTimeout(() => { thawed.resolve(undefined); }, 0);
      return ok({ status: 299, tookMs: 1 });
    } } });
    await seen(2);
    await world.db.query('UPDATE relay_lease SET holder = NULL, held_until = UTC_TIMESTAMP(3)');
    world.start();
    await until('the other has recorded it', async () => (await world.find(webhook.id)).position === before + 2);
    await world.happen(1);
    await until('and goes on', async () => (await world.find(webhook.id)).position === before + 3);
    thaw.resolve(undefined);
    await thawed.promise;
    await world.stop();
    expect((await world.find(webhook.id)).position).toBe(before + 3);
    expect((await world.deliveries(webhook.id)).map(({ state }) => state)).toEqual(['delivered', 'delivered']);
    expect(receiver.seqs).toEqual([before + 1, before + 2, before + 1, before + 2, before + 3]);
  }, 30_000);

  it('is one of many at a time', async () => {
    const hooks = await Promise.all(['a', 'b', 'c'].map((name) => world.make(viewer(), { name, target: receiver.url })));
    for (let count = 0; count < 3; count++) world.start();
    for (let count = 0; count < 10; count++) await world.happen(3);
    const last = await world.lastSeq();
    await until('all are through', async () => (await Promise.all(hooks.map(({ webhook }) => world.find(webhook.id)))).every(({ position }) => position === last));
    for (const { webhook } of hooks) {
      const seqs = receiver.received.filter(({ text }) => text.includes(webhook.id)).flatMap(({ body }) => body.events.map(({ globalSeq }) => globalSeq));
      expect(seqs).toEqual(upTo(last, last - 29));
    }
  }, 30_000);
});

describe('a replay', () => {
  it('delivers again from the place that was asked for, under new ids, and enables', async () => {
    const owner = viewer();
    const before = await world.lastSeq();
    const { webhook } = await world.make(owner, { target: receiver.url });
    world.start();
    await world.happen(4);
    await until('all is delivered', async () => (await world.find(webhook.id)).position === before + 4);
    await world.change(owner, { webhookId: webhook.id, enabled: false });
    expect((await world.replay(owner, webhook.id, before + 2)).state).toBe('active');
    await until('it is delivered again', () => receiver.seqs.length === 6);
    expect(receiver.seqs.slice(4)).toEqual([before + 3, before + 4]);
    expect(new Set(receiver.received.map(({ id }) => id)).size).toBe(receiver.received.length);
  });

  it('is refused where the log forgets; a webhook that fell behind that is disabled and says so', async () => {
    const owner = viewer();
    const before = await world.lastSeq();
    await world.happen(10);
    const { webhook } = await world.make(owner, { target: receiver.url, after: before + 1 });
    await purgeEvents(world.db, 500, { days: 90, most: 3, bytes: 1e12 });
    world.start();
    await until('it is disabled', async () => (await world.find(webhook.id)).disabledReason === 'events-gone');
    expect(await world.find(webhook.id)).toMatchObject({ lastError: { code: 'EVENTS_GONE', details: { after: before + 1, firstSeq: before + 8, lastSeq: before + 10 } } });
    await expect(world.replay(owner, webhook.id, before + 2)).rejects.toThrow('EVENTS_GONE');
    await expect(world.change(owner, { webhookId: webhook.id, enabled: true })).rejects.toThrow('EVENTS_GONE');
    await world.replay(owner, webhook.id, before + 7);
    await seen(3);
    expect(receiver.seqs).toEqual(upTo(before + 10, before + 8));
  });
});
