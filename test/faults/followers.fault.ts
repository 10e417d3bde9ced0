// Everything between an owner's commit and whoever follows is killed at once while commands run: afterwards each follower has
// every event of the log once and in order, and a webhook has each at least once, a repeat under the id of the first time.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { NatsConnection } from '@nats-io/transport-node';
import { createVm, createWebhook, deleteVm, deleteWebhook, startVm, TaskRef } from '#contracts';
import type { Operation, TaskRef as Ref, WebhookId } from '#contracts';
import { doorsOf } from '../chaos/doors.ts';
import type { Ask } from '../chaos/doors.ts';
import { credentials, enter } from '../e2e/bus-user.ts';
import { eventually } from '../e2e/eventually.ts';
import { endOfLog, FeedFollower, lines, logged, Receiver, StreamFollower } from '../e2e/followers.ts';
import { crash, startAgain, waitReady } from '../e2e/lab.mjs';
import { removeOwn } from '../e2e/vms.ts';
import { openWorld } from '../e2e/world.ts';
import type { World } from '../e2e/world.ts';
import { tiny } from './kinds.ts';
import { closeOwners, endsOf } from './owners.ts';

let world: World;
let nats: NatsConnection;
let webhookId: WebhookId;
let begin: number;
let feed: FeedFollower;
let stream: StreamFollower;
const receiver = new Receiver();

beforeAll(async () => {
  world = await openWorld('follow');
  const { rest, record: { admin } } = world;
  nats = await enter(world, await credentials(rest), admin.user, true);
  begin = await endOfLog(rest);
  feed = await new FeedFollower(nats, admin.user, begin).open();
  stream = new StreamFollower(rest, begin);
  const made = await rest.ask(createWebhook, { name: `${world.prefix}-all`, target: receiver.url, after: begin });
  webhookId = made.webhook.id;
  receiver.secrets.push(made.secret);
}, 60_000);
afterAll(async () => {
  await waitReady(world.lab);
  await world.rest.ask(deleteWebhook, { webhookId });
  receiver.close();
  await stream.leave();
  await feed.leave();
  await nats.close();
  await removeOwn(world);
  await closeOwners();
}, 120_000);

/** Has a command carried out by a door that asks until it is answered; answers the object. */
async function carryOut(ask: Ask, operation: Operation, input: Readonly<Record<string, unknown>>): Promise<Ref> {
  const ref = TaskRef.parse(await ask(operation, input, randomUUID()));
  const end = (await endsOf(world, [ref.taskId])).get(ref.taskId);
  if (end?.state !== 'succeeded') throw new Error(`${operation.name}: ${JSON.stringify(end)}`);
  return ref;
}
/** A VM from its first to its last event. */
async function life(ask: Ask, name: string): Promise<string> {
  const { objectId } = await carryOut(ask, createVm, { ...tiny, name: `${world.prefix}-${name}`, start: false });
  await carryOut(ask, startVm, { vmId: objectId });
  await carryOut(ask, deleteVm, { vmId: objectId, force: true, purge: true });
  return objectId;
}

describe('F18 in part, F23 in part: those who follow the log', () => {
  const lived: string[] = [];

  it('commands by every door end while the gateway, monitoring, NATS and the database are killed', async () => {
    const doors = doorsOf(world, nats);
    const heard = feed.events.length;
    const lives = Promise.all([1, 2].flatMap((turn) => Object.entries(doors).map(([door, ask]) => life(ask, `${door}-${turn}`))));
    lives.catch(() => undefined); // told where it is waited for
    await eventually('the first of it is heard', () => feed.events.length > heard);
    const victims = ['gateway', 'monitoring', 'nats', 'mariadb'];
    for (const victim of victims) await crash(world.lab, victim);
    for (const victim of victims) startAgain(world.lab, victim);
    lived.push(...await lives);
  }, 120_000);

  it('and everybody has all of it: once and in order on the bus and at the stream, at least once by the webhook', async () => {
    await waitReady(world.lab);
    const all = await eventually('the log has the end of every VM', async () => {
      const now = await logged(world.rest, begin, await endOfLog(world.rest));
      const deleted = new Set<string>(now.filter(({ name }) => name === 'compute.vm.deleted').map(({ objectId }) => objectId));
      return lived.every((id) => deleted.has(id)) ? now : undefined;
    });
    const last = all.at(-1)?.globalSeq ?? 0;
    await eventually('the reader of the feed has all', () => feed.position >= last);
    await eventually('the client of the stream has all', () => stream.lastEventId >= last);
    await eventually('the receiver has all', () => receiver.position >= last);
    for (const events of [feed.events, stream.events, receiver.events]) expect(lines(events, last)).toEqual(lines(all));
    expect(stream.strange).toEqual([]);

    expect(lived).toHaveLength(6);
    expect(receiver.deliveries.every(({ signedWith }) => signedWith === 1)).toBe(true);
    // One id is one delivery, and nothing comes under two of them.
    const taken = new Map(receiver.deliveries.map(({ id, same }) => [id, same]));
    expect(receiver.deliveries.map(({ id, same }) => taken.get(id) === same)).not.toContain(false);
    const numbers = [...new Map(receiver.deliveries.map((one) => [one.id, one.events])).values()].flat().map(({ globalSeq }) => globalSeq);
    expect(new Set(numbers).size).toBe(numbers.length);
  }, 60_000);
});
