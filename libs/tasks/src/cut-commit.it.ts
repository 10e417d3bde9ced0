// The connection to the database is cut right behind a commit, so that nobody hears of it: what is sent again is known, and
// a task whose worker does not know how far it has come comes to its end with every effect once.
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { TaskRef } from '#contracts';
import { isOutage, selectRows } from '#database';
import { newUuid, orThrow } from '#kernel';
import { runCommand } from './command.store.ts';
import { CommitCutter } from './testing/commit-cutter.ts';
import { taskEnd } from './testing/put-through.ts';
import { answerThings, buildOnHost, dropThingKind, makeKind, makeThing, makeThingKind, openLocks, worldMigration, worldRow } from './testing/sample-kinds.ts';
import { contextOf, SceneBus, serviceScene } from './testing/scene.ts';
import type { ServiceScene } from './testing/scene.ts';
import type { TaskEngine } from './task.engine.ts';

// For a busy machine; every wait inside has a bound of its own.
jest.setTimeout(180_000);

const bus = new SceneBus();
const built = buildOnHost(bus);
let cutter: CommitCutter;
let compute: ServiceScene;
let storage: ServiceScene;
let engine: TaskEngine;
beforeAll(async () => {
  storage = await serviceScene(bus, 'storage', [worldMigration]);
  answerThings(bus, await storage.open([makeThingKind, dropThingKind]));
  compute = await serviceScene(bus, 'compute', [worldMigration], async (url) => (cutter = await CommitCutter.before(url)).url);
  engine = await compute.open([makeKind]);
});
afterAll(async () => {
  await compute.close();
  await storage.close();
  await cutter.close();
});

/** Asks for a sample to be made; the operation stands for any that begins a task. */
const ask = async (id: string, key: string): Promise<TaskRef> => orThrow(await runCommand(engine.db, { ctx: contextOf({ caller: 'gateway', idempotencyKey: key }), operation: makeThing, input: { thingId: id, owner: 'x' } }, (tx) =>
  engine.start(tx, makeKind.kind, { objectId: id, input: { id }, lock: [{ noun: 'sample', id }] })));

/** As everybody does who gets no answer: once more. A question, or a command under the same key; it may meet a connection that is just being cut. */
async function insist<T>(work: () => Promise<T>): Promise<T> {
  for (let left = 100; ; left--) {
    try {
      return await work();
    } catch (error) {
      if (left === 0 || !isOutage(error)) throw error;
    }
  }
}

describe('a database that is cut right behind a commit', () => {
  it('gives the same task to a command whose commit was not answered, when it is sent again', async () => {
    const [id, key] = [newUuid(), newUuid()];
    cutter.cutBehind(0, key);
    expect(await ask(id, key).then(() => 'answered', (error: unknown) => isOutage(error))).toBe(true);
    const begun = await selectRows<{ id: string }>(compute.db, 'SELECT id FROM task WHERE object_id = ?', [id]);
    expect(begun).toHaveLength(1);
    expect(await ask(id, key)).toEqual({ taskId: begun[0]?.id, objectId: id });
    expect(await selectRows(compute.db, 'SELECT id FROM task WHERE object_id = ?', [id])).toHaveLength(1);
    expect((await taskEnd(engine, begun[0]!.id)).state).toBe('succeeded');
  });

  it('has a task come to its end at whichever of its commits that is, with every effect once', async () => {
    let cut = 0;
    for (let behind = 0; ; behind++) {
      expect(behind).toBeLessThan(60); // no task has so many commits
      const [id, before] = [newUuid(), cutter.cuts];
      cutter.cutBehind(behind);
      const key = newUuid();
      const { taskId } = await insist(() => ask(id, key));
      expect([behind, (await insist(() => taskEnd(engine, taskId))).state]).toEqual([behind, 'succeeded']);
      if (cutter.cuts === before) break;
      cut += 1;
      expect(await insist(() => worldRow(compute, id))).toMatchObject({ owner: taskId, ready: 1, finished: 'succeeded' });
      expect(await insist(() => worldRow(storage, `thing-${id}`))).toMatchObject({ owner: id, name: 'named' });
      expect(bus.host.effects.filter((effect) => effect.includes(taskId))).toHaveLength(1);
      expect(built.has(id)).toBe(true);
      expect(await insist(() => selectRows(compute.db, 'SELECT id FROM task WHERE object_id = ?', [id]))).toHaveLength(1);
      expect(await insist(() => openLocks(compute))).toEqual([]);
    }
    expect(cut).toBeGreaterThanOrEqual(makeKind.steps.length);
  });
});
