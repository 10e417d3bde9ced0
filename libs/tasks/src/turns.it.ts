// The workers of a service are shared out user by user, on a real database and with wakes through a real Redis.
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { execute, selectRow, transaction } from '#database';
import { newUuid } from '#kernel';
import { until } from '#testing';
import { defineTask } from './kind.ts';
import type { TaskKind } from './kind.ts';
import type { TaskEngine } from './task.engine.ts';
import { taskEnd } from './testing/put-through.ts';
import { SceneBus, serviceScene } from './testing/scene.ts';
import type { ServiceScene } from './testing/scene.ts';
import { nextInTurn } from './turn.store.ts';
import { LATE_MS } from './turns.ts';

// For a busy machine; every wait inside has a bound of its own.
jest.setTimeout(120_000);

let compute: ServiceScene;
beforeAll(async () => { compute = await serviceScene(new SceneBus(), 'compute'); });
afterEach(() => compute.closeEngines());
afterAll(() => compute.close());

/** In the order in which they ran. */
const came: string[] = [];
let gate = Promise.withResolvers<undefined>();
const kind: TaskKind = defineTask<{ name: string }>({
  kind: 'compute.trial.work', object: 'trial',
  steps: [{
    name: 'work',
    run: async (ctx) => {
      came.push(ctx.input.name);
      if (ctx.input.name.startsWith('hold')) await gate.promise;
      // As long as real work: a worker is busy with it.
      else await ctx.tx((tx) => tx.query('SELECT SLEEP(0.005)'));
    },
  }],
});
afterEach(() => {
  came.length = 0;
  gate = Promise.withResolvers();
});

const users: Readonly<Record<string, string>> = { a: newUuid(), b: newUuid(), c: newUuid() };
const begin = (engine: TaskEngine, user: string, name: string): Promise<string> =>
  transaction(engine.db, async (tx) => (await engine.start(tx, kind, { objectId: newUuid(), ownerId: users[user] ?? null, input: { name } })).taskId);
const numbers = (count: number): number[] => [...Array(count).keys()];

describe('the workers of a service', () => {
  it.each([['with wakes through Redis', true], ['found by the sweep alone', false]])('take up one user’s task next although another queued two hundred before, %s', async (_how, withRedis) => {
    const redisUrl = withRedis ? process.env['TOK_TEST_REDIS_URL'] ?? '' : null;
    const replicas = await Promise.all([0, 1].map(() => compute.open([kind], { redisUrl, settings: { concurrency: 4 } })));
    const [engine] = replicas as [TaskEngine, TaskEngine];
    const holding: string[] = [];
    for (const index of numbers(8)) holding.push(await begin(engine, 'a', `hold-${index}`));
    await until('all workers have their hands full', () => came.length === 8);
    const first = await begin(engine, 'a', 'a-0');
    const queued = [first, ...await Promise.all(numbers(199).map((index) => begin(engine, 'a', `a-${index + 1}`)))];
    const single = await begin(engine, 'b', 'b');
    const waits = async (taskId: string) => (await engine.get(taskId))?.waitsFor;
    await until('the first one is late', async () => Date.parse((await waits(first))?.since ?? '') < Date.now() - 2 * LATE_MS);
    expect(await waits(single)).toMatchObject({ what: 'a worker of compute', position: 1, since: expect.any(String) });
    expect(holding).toContain((await waits(single))?.holder);
    expect(await waits(first)).toMatchObject({ what: 'a worker of compute', position: 2 });
    gate.resolve(undefined);
    await taskEnd(engine, single);
    // A round of all workers may have been begun before anybody knew that tasks are late.
    expect(came.indexOf('b') - 8).toBeLessThan(24);
    for (const taskId of [...holding, ...queued]) expect((await taskEnd(engine, taskId)).state).toBe('succeeded');
    expect(new Set(came).size).toBe(came.length);
  });

  it('starve nobody: who queued much gets on beside one who comes again and again', async () => {
    const redisUrl = process.env['TOK_TEST_REDIS_URL'] ?? '';
    const replicas = await Promise.all([0, 1].map(() => compute.open([kind], { redisUrl, settings: { concurrency: 2 } })));
    // More than are done before the first of them is late: until then they go as they come.
    const much = 300;
    const queued = await Promise.all(numbers(much).map((index) => begin(replicas[index % 2]!, 'a', `a-${index}`)));
    const again: string[] = [];
    while (came.filter((name) => name.startsWith('a')).length < much) {
      const round = await Promise.all(numbers(4).map((index) => begin(replicas[index % 2]!, 'b', `b-${again.length + index}`)));
      again.push(...round);
      for (const taskId of round) await taskEnd(replicas[0]!, taskId);
    }
    for (const taskId of [...queued, ...again]) expect((await taskEnd(replicas[0]!, taskId)).state).toBe('succeeded');
    expect(again.length).toBeGreaterThan(4);
  });
});

describe('the queue', () => {
  it('goes on with who has the fewest at work, then with who has waited longest, and before all with what is being cancelled', async () => {
    const closed = await compute.open([kind]);
    await closed.close();
    const ids: Record<string, string> = {};
    for (const name of ['a1', 'a2', 'a3', 'b1', 'b2', 'c1']) {
      ids[name] = await begin(closed, name[0]!, name);
      await execute(compute.db, 'UPDATE task SET wake_at = UTC_TIMESTAMP(3) - INTERVAL ? MICROSECOND WHERE id = ?', [1_000_000 - Object.keys(ids).length * 1_000, ids[name]]);
    }
    const order = async (): Promise<string[]> => {
      const next = await nextInTurn(compute.db, 10);
      return next.map((id) => Object.keys(ids).find((name) => ids[name] === id) ?? id);
    };
    expect(await order()).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3']);
    await execute(compute.db, "UPDATE task SET claimed_by = 'w', claim_until = UTC_TIMESTAMP(3) + INTERVAL 60 SECOND WHERE id = ?", [ids['a1']!]);
    expect(await order()).toEqual(['b1', 'c1', 'a2', 'b2', 'a3']);
    await execute(compute.db, 'UPDATE task SET cancel_requested_at = UTC_TIMESTAMP(3) WHERE id = ?', [ids['a3']!]);
    expect((await order())[0]).toBe('a3');
    expect(await selectRow(compute.db, 'SELECT id FROM task WHERE id = ?', [ids['a3']!])).toBeDefined();
    await execute(compute.db, 'DELETE FROM task');
  });
});
