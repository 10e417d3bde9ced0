// Slots on a real database: so many at once and no more, in fair order, whatever happens to those who hold them.
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { Internal } from '#contracts';
import { selectRows, transaction } from '#database';
import { FaultError, newUuid } from '#kernel';
import { until } from '#testing';
import { defineTask } from './kind.ts';
import type { StepContext, TaskKind } from './kind.ts';
import type { TaskEngine } from './task.engine.ts';
import { taskEnd } from './testing/put-through.ts';
import { SceneBus, serviceScene } from './testing/scene.ts';
import type { EngineOver, ServiceScene } from './testing/scene.ts';

// For a busy machine; every wait inside has a bound of its own.
jest.setTimeout(120_000);

let compute: ServiceScene;
beforeAll(async () => { compute = await serviceScene(new SceneBus(), 'compute'); });
afterEach(() => compute.closeEngines());
afterAll(() => compute.close());

type Run = (ctx: StepContext<{ name: string }>) => Promise<unknown>;
/** One store takes two copies at once. */
const copies: EngineOver = { settings: { slots: { 'store.copies': 2 }, concurrency: 64 } };
let store = 0;
afterEach(() => { store += 1; });
const kindOf = (run: Run, more: Partial<TaskKind['steps'][number]> = {}): TaskKind => defineTask<{ name: string }>({
  kind: 'compute.trial.copy', object: 'trial',
  steps: [{ name: 'copy', slots: () => [{ noun: 'store', id: `s${store}`, name: 'Fast', of: 'copies' }], run, ...more }, { name: 'after', run: () => Promise.resolve('done') }],
});
/** By the first character of the task’s name. */
const ownerOf = (name: string): string => `${name.charCodeAt(0).toString(16).padStart(8, '0')}-0000-4000-8000-000000000000`;
const begin = (engine: TaskEngine, name: string): Promise<string> =>
  transaction(engine.db, async (tx) => (await engine.start(tx, 'compute.trial.copy', { objectId: newUuid(), ownerId: ownerOf(name), input: { name } })).taskId);
const left = (): Promise<unknown[]> => selectRows(compute.db, 'SELECT resource FROM task_slot');

/** Work that stays until it is let go, in the order in which it came. */
class Works {
  readonly came: string[] = [];
  private readonly held = new Map<string, PromiseWithResolvers<undefined>>();

  readonly run: Run = async (ctx) => {
    const { name } = ctx.input;
    this.came.push(name);
    const work = this.of(name);
    const stopped = new Promise<never>((_resolve, reject) => { ctx.signal.addEventListener('abort', () => { reject(ctx.signal.reason as Error); }, { once: true }); });
    await Promise.race([work.promise, stopped]);
  };

  /** Now, or as soon as it comes. */
  letGo(...names: string[]): void {
    for (const name of names) this.of(name).resolve(undefined);
  }

  private of(name: string): PromiseWithResolvers<undefined> {
    const work = this.held.get(name) ?? Promise.withResolvers<undefined>();
    this.held.set(name, work);
    return work;
  }
}

describe('slots', () => {
  it('let so many work at once, in fair order, and tell the others what they wait for, who holds it and which place they have', async () => {
    const works = new Works();
    const replicas = await Promise.all([0, 1].map(() => compute.open([kindOf(works.run)], copies)));
    const ids = new Map<string, string>();
    for (const name of ['a1', 'a2', 'a3', 'b1']) {
      ids.set(name, await begin(replicas[0]!, name));
      await until(`${name} works or waits`, async () => ['running', 'waiting'].includes((await replicas[0]!.get(ids.get(name)!))?.state ?? ''));
    }
    await until('two work', () => works.came.length === 2);
    const waits = async (name: string): Promise<unknown> => (await replicas[0]!.get(ids.get(name)!))?.waitsFor;
    await until('the others wait', async () => (await waits('a3')) !== null && (await waits('b1')) !== null);
    expect(await waits('a3')).toMatchObject({ what: 'one of the 2 copies at once of the store Fast', holder: ids.get('a1'), since: expect.any(String) });
    expect(await waits('b1')).toMatchObject({ position: 1 });
    works.letGo('a2');
    await until('the next one works', () => works.came.length === 3);
    expect(works.came).toEqual(['a1', 'a2', 'b1']);
    works.letGo('a1', 'b1');
    await until('the last one works', () => works.came.length === 4);
    works.letGo('a3');
    for (const id of ids.values()) expect((await taskEnd(replicas[0]!, id)).state).toBe('succeeded');
    expect(await left()).toEqual([]);
  });

  it('come free with a failure, a cancel while waiting, and a cancel while holding', async () => {
    const works = new Works();
    const engine = await compute.open([kindOf(async (ctx) => {
      await works.run(ctx);
      if (ctx.input.name === 'a2') throw new FaultError(Internal.fault('it broke'));
    })], copies);
    const [a1, a2, b1, c1] = [await begin(engine, 'a1'), await begin(engine, 'a2'), await begin(engine, 'b1'), await begin(engine, 'c1')];
    await until('two work and two wait', async () => works.came.length === 2 && (await left()).length === 4);
    const [waiting] = [a1, a2, b1, c1].filter((_id, index) => !works.came.includes(['a1', 'a2', 'b1', 'c1'][index]!));
    await transaction(engine.db, (tx) => engine.cancel(tx, waiting!));
    expect((await taskEnd(engine, waiting!)).state).toBe('cancelled');
    works.letGo('a2', 'b1', 'c1');
    const holding = works.came.includes('a1') ? a1 : b1;
    await transaction(engine.db, (tx) => engine.cancel(tx, holding));
    works.letGo('a1', 'a2', 'b1', 'c1');
    await until('nothing is held', async () => (await left()).length === 0);
    for (const id of [a1, a2, b1, c1]) expect(['succeeded', 'failed', 'cancelled']).toContain((await taskEnd(engine, id)).state);
  });

  it('are still the task’s after its worker has died, and nobody else’s', async () => {
    const works = new Works();
    const first = await compute.open([kindOf(works.run)], copies);
    const [a1, b1, c1] = [await begin(first, 'a1'), await begin(first, 'b1'), await begin(first, 'c1')];
    await until('two work and one waits', async () => works.came.length === 2 && (await left()).length === 3);
    const before = [...works.came];
    await first.vanish();
    const again = new Works();
    const second = await compute.open([kindOf(again.run)], copies);
    await until('the same two work again', () => before.every((name) => again.came.includes(name)), 20_000);
    expect(new Set(again.came)).toEqual(new Set(before));
    again.letGo('a1', 'b1', 'c1');
    await until('the third works', () => again.came.includes('c1') && again.came.includes('b1') && again.came.includes('a1'));
    again.letGo('a1', 'b1', 'c1');
    for (const id of [a1, b1, c1]) expect((await taskEnd(second, id)).state).toBe('succeeded');
    expect(await left()).toEqual([]);
  });

  it('that are not limited here hold nobody up', async () => {
    const engine = await compute.open([kindOf(() => Promise.resolve())], { settings: { slots: { 'store.moves': 1 } } });
    const ids = await Promise.all(Array.from({ length: 5 }, (_, index) => begin(engine, `a${index}`)));
    for (const id of ids) expect((await taskEnd(engine, id)).state).toBe('succeeded');
  });

  it('of a hundred tasks of ten users are never more than allowed, and all get through', async () => {
    let inside = 0;
    let most = 0;
    const kind = kindOf(async (ctx) => {
      inside += 1;
      most = Math.max(most, inside);
      await ctx.tx((tx) => tx.query('SELECT SLEEP(0.005)'));
      inside -= 1;
    });
    const replicas = await Promise.all([0, 1].map(() => compute.open([kind], copies)));
    const ids = await Promise.all(Array.from({ length: 100 }, (_, index) => begin(replicas[index % 2]!, `${index % 10}-${index}`)));
    for (const id of ids) expect((await taskEnd(replicas[0]!, id, 60_000)).state).toBe('succeeded');
    expect(most).toBeLessThanOrEqual(2);
    expect(await left()).toEqual([]);
  });
});
