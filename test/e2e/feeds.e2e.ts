// Who follows the log of a pool while its VMs come and go: each event once, in the order of the log and with nothing left out, also
// for whoever was away meanwhile, and nothing of what he may not see. A webhook has every event, signed, in the same order.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { NatsConnection } from '@nats-io/transport-node';
import { createFolder, createGrant, createUser, createWebhook, deleteFolder, deleteUser, deleteVm, deleteWebhook, listEvents, listRoles, powerOffVm, startVm } from '#contracts';
import type { FolderId, ReplyOf, UserId, Vm, WebhookId } from '#contracts';
import { credentials, enter } from './bus-user.ts';
import { eventually } from './eventually.ts';
import { endOfLog, FeedFollower, lines, logged, Receiver, StreamFollower } from './followers.ts';
import type { Heard } from './followers.ts';
import { Rest } from './rest.ts';
import { openShell, signInShell } from './shell.ts';
import type { Shell } from './shell.ts';
import { deploy, removeOwn } from './vms.ts';
import { openWorld } from './world.ts';
import type { World } from './world.ts';

const password = 'correct horse battery';
let world: World;
let shell: Shell;
let folderId: FolderId;
const receiver = new Receiver();
const users: UserId[] = [];
const webhooks: WebhookId[] = [];
const connections: NatsConnection[] = [];
const followers: (FeedFollower | StreamFollower)[] = [];

interface User { readonly handle: string; readonly rest: Rest; readonly nats: NatsConnection }
async function onBus(rest: Rest, handle: string): Promise<User> {
  const nats = await enter(world, await credentials(rest), handle, true);
  connections.push(nats);
  return { handle, rest, nats };
}
/** A user who may look at what is in the folder, or at nothing. */
async function newUser(name: string, mayLook: boolean): Promise<User> {
  const { rest, prefix, record } = world;
  const { id, handle } = await rest.ask(createUser, { handle: `${prefix}-${name}`, password, mustChangePassword: false });
  users.push(id);
  if (mayLook) await rest.ask(createGrant, { userId: id, roleId: (await rest.ask(listRoles, { name: 'viewer' })).items[0]!.id, scope: 'folder', scopeId: folderId });
  return onBus(await Rest.signIn(record.gateway.url, handle, password), handle);
}

let admin: User;
let ann: User;
let eve: User;
beforeAll(async () => {
  world = await openWorld('feed');
  shell = await openShell(world);
  await signInShell(shell, world);
  folderId = (await world.rest.ask(createFolder, { name: `${world.prefix}-team` })).id;
  admin = await onBus(world.rest, world.record.admin.user);
  ann = await newUser('ann', true);
  eve = await newUser('eve', false);
}, 60_000);
afterAll(async () => {
  for (const follower of followers) await follower.leave();
  for (const webhookId of webhooks) await world.rest.ask(deleteWebhook, { webhookId });
  receiver.close();
  await removeOwn(world);
  await world.rest.ask(deleteFolder, { folderId });
  for (const connection of connections) await connection.close();
  for (const userId of users) await world.rest.ask(deleteUser, { userId });
  await shell.close();
}, 60_000);

async function follow({ nats, handle, rest }: User, feedAfter: number, streamAfter = feedAfter): Promise<[FeedFollower, StreamFollower]> {
  const stream = new StreamFollower(rest, streamAfter);
  const feed = new FeedFollower(nats, handle, feedAfter);
  followers.push(stream, feed);
  return [await feed.open(), stream];
}
/** What one of them heard in several sittings. */
const together = (...sittings: { events: Heard[] }[]): Heard[] => sittings.flatMap(({ events }) => events);
const about = (events: readonly Heard[], vm: Vm): string[] => events.filter(({ objectId }) => objectId === vm.id).map(({ name }) => name);

/**
 * What the log shows and was not heard, and what was heard and is not there, or not in this order. Where a new object belongs is told by its
 * own event; one of its task that was passed on just before that was nobody's then, and is shown by the log only.
 */
function notHeard(shown: readonly Heard[], heard: readonly Heard[]): string[] {
  const known = new Set<string>();
  const rest = lines(heard);
  const missed = shown.filter((event) => {
    if (rest[0] !== lines([event])[0]) return known.has(event.objectId);
    rest.shift();
    known.add(event.objectId);
    return false;
  });
  return [...lines(missed), ...rest];
}

describe('who follows the log', () => {
  let begin = 0;
  let end = 0;
  let inside: Vm;
  let outside: Vm;
  let webhook: ReplyOf<typeof createWebhook>['webhook'];

  it('hears each event once and in order, also what happened while he was away, and sees what he may see', async () => {
    begin = await endOfLog(world.rest);
    const refusedOnce = new Set<string>();
    // Every delivery is refused at first.
    receiver.answer = (id) => (refusedOnce.has(id) ? 204 : (refusedOnce.add(id), 503));
    const made = await world.rest.ask(createWebhook, { name: `${world.prefix}-all`, target: receiver.url, after: begin });
    webhook = made.webhook;
    webhooks.push(webhook.id);
    receiver.secrets.push(made.secret);

    const staying = await follow(admin, begin);
    const [feed, stream] = await follow(admin, begin);
    const [annFeed, annStream] = await follow(ann, begin);
    const eves = await follow(eve, begin);

    [inside, outside] = await Promise.all([deploy(world, 'inside', { folderId }), deploy(world, 'outside', { start: false })]);
    await eventually('those who will leave have heard of it', () => [feed, stream].every(({ events }) => about(events, inside).length > 0));
    await Promise.all([feed.leave(), stream.leave()]);
    await world.rest.carryOut(startVm, { vmId: outside.id });
    await world.rest.carryOut(powerOffVm, { vmId: inside.id });
    const [feedAgain, streamAgain] = await follow(admin, feed.position, stream.lastEventId);
    await Promise.all([inside, outside].map(({ id }) => world.rest.carryOut(deleteVm, { vmId: id, force: true, purge: true })));
    const vms = [inside.id, outside.id] as string[];
    await eventually('the log has both ends', async () => (await world.rest.ask(listEvents, { latest: true, limit: 500, name: 'compute.vm.deleted' })).items.filter(({ objectId }) => vms.includes(objectId)).length === 2);
    end = await endOfLog(world.rest);

    const all = await logged(world.rest, begin, end);
    const reached = (events: readonly Heard[], last: Heard | undefined): boolean => (events.at(-1)?.globalSeq ?? 0) >= (last?.globalSeq ?? 0);
    for (const [who, heard] of [['the one who stayed on the bus', [staying[0]]], ['the one who stayed at the stream', [staying[1]]], ['the one who came back to the bus', [feed, feedAgain]], ['the one who came back to the stream', [stream, streamAgain]]] as const) {
      await eventually(`${who} has all`, () => reached(together(...heard), all.at(-1)));
      expect(lines(together(...heard), end)).toEqual(lines(all));
    }
    expect(about(all, inside).at(-1)).toBe('compute.vm.deleted');

    // Ann sees what the log shows her, which is what is in her folder and what she did herself.
    const hers = await logged(ann.rest, begin, end);
    for (const heard of [annFeed, annStream]) {
      await eventually('ann has all that is hers', () => reached(heard.events, hers.at(-1)));
      expect(notHeard(hers, heard.events.filter(({ globalSeq }) => globalSeq <= end))).toEqual([]);
      expect(about(heard.events, inside)).toEqual(about(all, inside));
      expect(about(heard.events, outside)).toEqual([]);
    }

    // Eve has no right to either: she hears how far the log is, and nothing of them.
    await eventually('eve knows how far the log is', () => eves[0].position >= end);
    for (const { events } of eves) expect([...about(events, inside), ...about(events, outside)]).toEqual([]);
    expect(lines(eves[0].events, end)).toEqual(lines(await logged(eve.rest, begin, end)));
    for (const { strange } of [staying[1], stream, streamAgain, annStream]) expect(strange).toEqual([]);
  }, 90_000);

  it('by a webhook gets all of it, signed and in order; what was refused comes again as the same delivery', async () => {
    await eventually('it has all', () => receiver.position >= end);
    const { deliveries } = receiver;
    expect(lines(receiver.events, end)).toEqual(lines(await logged(world.rest, begin, end)));
    expect(deliveries.every(({ signedWith }) => signedWith === 1)).toBe(true);
    // Each came twice, the same both times, and none before the one before it was taken.
    expect(deliveries.map(({ answered }) => answered)).toEqual(deliveries.map((_, at) => (at % 2 === 0 ? 503 : 204)));
    expect(deliveries.map(({ same }) => same)).toEqual(deliveries.map((_, at) => deliveries[at - (at % 2)]!.same));
  }, 60_000);

  it('by a webhook finds its deliveries in a log, and has them once more when it asks', async () => {
    const { name } = webhook;
    receiver.answer = () => 200;
    const { deliveries } = receiver;
    const taken = deliveries.filter(({ answered }) => answered < 300);
    const triesOf = new Map(taken.map(({ id }) => [id, deliveries.filter((one) => one.id === id).length]));
    const listed = (await shell.tokctlJson('webhook-delivery', 'list', name, '--limit', '500')) as { id: string; state: string; tries: number; status: number; after: number; position: number; events: number }[];
    const record = new Map(listed.map((one) => [one.id, one]));
    expect(taken.slice(0, -1).map(({ id }) => record.get(id))).toMatchObject(taken.slice(0, -1).map(({ id, answered, after, position, events }) => ({ state: 'delivered', tries: triesOf.get(id), status: answered, after, position, events: events.length })));

    const before = receiver.deliveries.length;
    await shell.tokctl('webhook', 'replay', name, '--after', String(begin));
    // What was on its way before the replay comes first.
    const again = (): Heard[] => {
      const first = receiver.deliveries.findIndex(({ after }, at) => at >= before && after === begin);
      return first === -1 ? [] : receiver.deliveries.slice(first).flatMap(({ events }) => events);
    };
    await eventually('it has all once more', () => (again().at(-1)?.globalSeq ?? 0) >= end);
    expect(lines(again(), end)).toEqual(lines(await logged(world.rest, begin, end)));
  }, 60_000);

  it('by a webhook can have its secret changed: for a day both sign', async () => {
    const rotated = (await shell.tokctlJson('webhook', 'rotate-secret', webhook.name)) as { secret: string };
    receiver.secrets.push(rotated.secret);
    const told = (await shell.tokctlJson('webhook', 'test', webhook.name)) as { id: string; state: string; test: boolean };
    expect(told).toMatchObject({ state: 'delivered', test: true });
    expect(receiver.deliveries.find(({ id }) => id === told.id)).toMatchObject({ signedWith: 2, test: true, events: [] });
  });
});
