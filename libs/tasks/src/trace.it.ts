// A trace spans all that a task asks for, whoever runs the task and whatever woke it.
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { selectRow, transaction } from '#database';
import { until } from '#testing';
import { defineTask } from './kind.ts';
import type { TaskEngine } from './task.engine.ts';
import { taskEnd } from './testing/put-through.ts';
import { answerThings, buildOnHost, hostBuild, makeThing, makeThingKind, worldMigration } from './testing/sample-kinds.ts';
import { contextOf, SceneBus, serviceScene } from './testing/scene.ts';
import type { ServiceScene } from './testing/scene.ts';

jest.setTimeout(60_000);

const redisUrl = (): string => process.env['TOK_TEST_REDIS_URL'] ?? '';
const bus = new SceneBus();
buildOnHost(bus);
let compute: ServiceScene;
let storage: ServiceScene;

beforeAll(async () => {
  [compute, storage] = await Promise.all([serviceScene(bus, 'compute', [worldMigration]), serviceScene(bus, 'storage', [worldMigration])]);
  answerThings(bus, await storage.open([makeThingKind]));
});
afterEach(() => compute.closeEngines());
afterAll(async () => {
  await compute.close();
  await storage.close();
});

describe('a trace', () => {
  const traceId = 'a1'.repeat(16);
  const kind = defineTask<{ readonly thingId: string }>({
    kind: 'compute.sample.traced', object: 'sample',
    steps: [
      { name: 'thing', run: (ctx) => ctx.child(makeThing, { thingId: ctx.input.thingId, owner: 'traced' }) },
      { name: 'build', run: (ctx) => ctx.host('host-1', hostBuild, { id: ctx.input.thingId }) },
    ],
  });
  const ask = (engine: TaskEngine, thingId: string): Promise<string> =>
    transaction(engine.db, async (tx) => (await engine.start(tx, kind, { objectId: thingId, input: { thingId }, ctx: contextOf({ traceId }) })).taskId);
  /** Of the child and of the command to the host. */
  const tracesOf = async (thingId: string): Promise<unknown[]> => {
    const child = await selectRow<{ trace_id: string }>(storage.db, "SELECT trace_id FROM task WHERE kind = 'storage.thing.make' AND object_id = ?", [thingId]);
    return [child?.trace_id, bus.told.at(-1)?.traceparent?.split('-')[1]];
  };

  it('goes on in a process that was woken through Redis', async () => {
    const gate = Promise.withResolvers<undefined>();
    const holding = defineTask({ kind: 'compute.sample.holding', object: 'sample', steps: [{ name: 'hold', run: () => gate.promise }] });
    const full = await compute.open([kind, holding], { redisUrl: redisUrl(), settings: { concurrency: 1, sweepMs: 600_000 } });
    const held = await transaction(full.db, async (tx) => (await full.start(tx, holding, { objectId: 'held', input: {} })).taskId);
    await until('it has no room', async () => (await full.get(held))?.state === 'running');
    const free = await compute.open([kind], { redisUrl: redisUrl(), settings: { sweepMs: 600_000 } });
    await taskEnd(free, await ask(full, 'traced-1'));
    expect(await tracesOf('traced-1')).toEqual([traceId, traceId]);
    gate.resolve(undefined);
    await taskEnd(full, held);
  });

  it('goes on where another process takes the task up', async () => {
    const dead = await compute.open([kind]);
    await dead.vanish();
    const taskId = await ask(dead, 'traced-2');
    const engine = await compute.open([kind]);
    await taskEnd(engine, taskId);
    expect(await tracesOf('traced-2')).toEqual([traceId, traceId]);
  });
});
