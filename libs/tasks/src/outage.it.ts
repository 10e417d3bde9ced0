// Redis and NATS killed under running tasks, and what they are good for while they live.
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { selectRow, transaction } from '#database';
import { newUuid } from '#kernel';
import { until } from '#testing';
import { defineTask } from './kind.ts';
import { OutboxRelay } from './outbox.relay.ts';
import type { TaskEngine } from './task.engine.ts';
import { ownNats, ownRedis } from './testing/own-servers.ts';
import { taskEnd } from './testing/put-through.ts';
import { answerThings, dropThingKind, makeThing, makeThingKind, worldMigration } from './testing/sample-kinds.ts';
import { SceneBus, serviceScene, silentTaskLog, unsentEvents } from './testing/scene.ts';
import type { ServiceScene } from './testing/scene.ts';
import { WakeQueue } from './wake.queue.ts';

// For a busy machine; every wait inside has a bound of its own.
jest.setTimeout(120_000);

const bus = new SceneBus();
let compute: ServiceScene;
let storage: ServiceScene;
beforeAll(async () => {
  [compute, storage] = await Promise.all([serviceScene(bus, 'compute', [worldMigration]), serviceScene(bus, 'storage', [worldMigration])]);
});
afterAll(async () => {
  await compute.close();
  await storage.close();
});
const begin = (engine: TaskEngine, kind: string): Promise<string> =>
  transaction(engine.db, async (tx) => (await engine.start(tx, kind, { objectId: newUuid(), input: {} })).taskId);

describe('Redis', () => {
  it('killed in the middle of tasks delays them, and is used again when it is back', async () => {
    const redis = await ownRedis();
    let gate = Promise.withResolvers<undefined>();
    const kind = defineTask({ kind: 'compute.outage.redis', object: 'trial', steps: [{ name: 'hold', run: () => gate.promise }, { name: 'end', run: () => Promise.resolve('done') }] });
    const engine = await compute.open([kind], { redisUrl: redis.url, settings: { concurrency: 2 } });
    expect(engine.redisWorks).toBe(true);
    const before = await Promise.all(Array.from({ length: 6 }, () => begin(engine, kind.kind)));
    await redis.kill();
    const during = await begin(engine, kind.kind);
    gate.resolve(undefined);
    for (const taskId of [...before, during]) expect((await taskEnd(engine, taskId)).state).toBe('succeeded');
    expect(engine.redisWorks).toBe(false);
    await redis.start();
    await until('Redis is used again', () => engine.redisWorks);
    gate = Promise.withResolvers();
    gate.resolve(undefined);
    expect((await taskEnd(engine, await begin(engine, kind.kind))).state).toBe('succeeded');
    await engine.close();
    await redis.remove();
  });

  it('wakes tasks long before any sweep would', async () => {
    const redis = await ownRedis();
    let looks = 0;
    const kind = defineTask({
      kind: 'compute.outage.prompt', object: 'trial',
      steps: [{ name: 'look-thrice', run: (ctx) => ((looks += 1) < 3 ? Promise.resolve(ctx.waitFor({ what: 'another look', lookAgainMs: 50 })) : Promise.resolve(looks)) }],
    });
    const engine = await compute.open([kind], { redisUrl: redis.url, settings: { sweepMs: 600_000 } });
    expect((await taskEnd(engine, await begin(engine, kind.kind))).output).toBe(3);
    await engine.close();
    await redis.remove();
  });
});

describe('wake-ups', () => {
  const opened = async (redisUrl: string) => {
    const looked: string[] = [];
    const wakes = await WakeQueue.open({ service: `trial-${newUuid()}`, redisUrl, concurrency: 1, log: silentTaskLog, look: (taskId) => { looked.push(taskId); return Promise.resolve(); } });
    return { wakes, looked };
  };

  it('go through Redis from the first one on', async () => {
    const redis = await ownRedis();
    const { wakes, looked } = await opened(redis.url);
    expect(await wakes.add('first', 0, 0)).toBe(true);
    await until('it has arrived', () => looked.includes('first'));
    await wakes.close();
    await redis.remove();
  });

  it('go through it as soon as it is there, where it was away at the beginning', async () => {
    const redis = await ownRedis();
    await redis.kill();
    const { wakes, looked } = await opened(redis.url);
    expect(await wakes.add('lost', 0, 0)).toBe(false);
    await redis.start();
    await until('it takes wake-ups', () => wakes.add('later', 1, 0));
    await until('one has arrived', () => looked.includes('later'));
    await wakes.close();
    await redis.remove();
  });
});

describe('a backlog that nobody has heard of', () => {
  it.each([['with Redis', true], ['without Redis', false]])('is worked off without waiting for another sweep, however long it is, %s', async (_how, withRedis) => {
    const redis = withRedis ? await ownRedis() : undefined;
    const kind = defineTask({ kind: 'compute.outage.backlog', object: 'trial', steps: [{ name: 'end', run: () => Promise.resolve('done') }] });
    const gone = await compute.open([kind]);
    await gone.close();
    const queued: string[] = [];
    for (let index = 0; index < 450; index++) queued.push(await begin(gone, kind.kind));
    const engine = await compute.open([kind], { redisUrl: redis?.url ?? null, settings: { sweepMs: 600_000 } });
    expect(engine.redisWorks).toBe(withRedis);
    for (const taskId of queued) expect((await taskEnd(engine, taskId)).state).toBe('succeeded');
    await engine.close();
    await redis?.remove();
  });
});

describe('NATS', () => {
  it('brings the end of a child to its parent, which without it would look much later', async () => {
    const server = await ownNats();
    const nats = await connect({ servers: server.url });
    const ensureStreams = async (): Promise<void> => {
      await (await jetstreamManager(nats)).streams.add({ name: 'EVENTS', subjects: ['tok.v1.evt.>'] });
    };
    await ensureStreams();
    const relay = new OutboxRelay({ service: 'storage', db: storage.db, nats, log: silentTaskLog, ensureStreams });
    relay.start();
    answerThings(bus, await storage.open([makeThingKind, dropThingKind]));
    const kind = defineTask({ kind: 'compute.outage.child', object: 'trial', steps: [{ name: 'child', run: (ctx) => ctx.child(makeThing, { thingId: ctx.task.id, owner: 'x' }) }] });
    const engine = await compute.open([kind], { nats, settings: { childLookMs: 3_600_000, childNearMs: 30_000 } });
    bus.seen.length = 0;
    const taskId = await begin(engine, kind.kind);
    expect(await taskEnd(engine, taskId)).toMatchObject({ state: 'succeeded', output: { objectId: taskId } });
    expect(bus.seen).toEqual(['storage.thing.make']); // and is believed: nobody asks the child once more
    await engine.close();
    await storage.closeEngines();
    await relay.stop();
    await nats.close();
    await server.remove();
  });

  it('killed keeps the events in the outbox, and they leave when it is back', async () => {
    const server = await ownNats();
    const nats = await connect({ servers: server.url, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
    const ensureStreams = async (): Promise<void> => {
      await (await jetstreamManager(nats)).streams.add({ name: 'EVENTS', subjects: ['tok.v1.evt.>'] });
    };
    await ensureStreams();
    const relay = new OutboxRelay({ service: 'compute', db: compute.db, nats, log: silentTaskLog, ensureStreams });
    relay.start();
    await server.kill();
    const kind = defineTask({ kind: 'compute.outage.nats', object: 'trial', steps: [{ name: 'end', run: () => Promise.resolve('done') }] });
    const engine = await compute.open([kind]);
    const taskId = await begin(engine, kind.kind);
    expect((await taskEnd(engine, taskId)).state).toBe('succeeded');
    await server.start();
    const unsent = async (): Promise<number> => Number((await selectRow<{ n: number | string }>(compute.db, unsentEvents))?.n);
    await until('all is sent', async () => (await unsent()) === 0);
    await engine.close();
    await relay.stop();
    await nats.close();
    await server.remove();
  });
});
