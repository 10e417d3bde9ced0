// A kind with everything in it, put through everything that a task must survive.
import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { Task } from '#contracts';
import { NotFound } from '#contracts';
import { selectRows, transaction } from '#database';
import { answerThings, beginSample, buildOnHost, dropThingKind, makeKind, makeThingKind, openLocks, worldMigration, worldRow } from './testing/sample-kinds.ts';
import { cancelAtEveryStep, cancelInEveryWait, everyStepTwice, failureAtEveryStep, killAtEveryStep, killAtEveryUndo, retryWhereverStuck, taskEnd, undoTwice } from './testing/put-through.ts';
import type { Trial } from './testing/put-through.ts';
import { SceneBus, serviceScene } from './testing/scene.ts';
import type { ServiceScene } from './testing/scene.ts';
import { defineTask } from './kind.ts';
import type { TaskKind } from './kind.ts';

// For a busy machine; every wait inside has a bound of its own.
jest.setTimeout(120_000);

const bus = new SceneBus();
const built = buildOnHost(bus);
let compute: ServiceScene;
let storage: ServiceScene;

beforeAll(async () => {
  [compute, storage] = await Promise.all([serviceScene(bus, 'compute', [worldMigration]), serviceScene(bus, 'storage', [worldMigration])]);
  answerThings(bus, await storage.open([makeThingKind, dropThingKind]));
});
afterAll(async () => {
  await compute.close();
  await storage.close();
});

async function check(task: Task): Promise<void> {
  const id = task.object.id;
  const mine = await worldRow(compute, id);
  const thing = await worldRow(storage, `thing-${id}`);
  if (task.state === 'succeeded') {
    expect(mine).toMatchObject({ ready: 1, finished: 'succeeded' });
    expect(thing).toMatchObject({ owner: id, name: 'named' });
    expect(built.has(id)).toBe(true);
    expect(task.output).toEqual({ path: `/built/${id}` });
    expect(task.steps.map((step) => step.state)).toEqual(task.steps.map(() => 'done'));
  } else {
    expect({ mine, thing, built: built.has(id) }).toEqual({ mine: undefined, thing: undefined, built: false });
  }
  expect(await openLocks(compute)).toEqual([]);
  // A child that outlives its parent would be left behind too.
  expect(await selectRows(storage.db, 'SELECT id, state FROM task WHERE ended_at IS NULL AND root_task_id = ?', [task.id])).toEqual([]);
  expect(bus.host.effects.length).toBe(new Set(bus.host.effects).size);
}

const trial: Trial = {
  kind: makeKind,
  open: (kind, over) => compute.open([kind], { settings: { concurrency: 16, ...over } }), // a task at each point of it at once
  begin: (engine) => beginSample(engine, (work) => transaction(engine.db, work)),
  check,
};

describe('a task with child, request and host command', () => {
  it('survives each step twice', () => everyStepTwice(trial));
  it('leaves nothing behind after a failure at each step', () => failureAtEveryStep(trial));
  it('undoes twice what it undoes', () => undoTwice(trial));
  it('goes on when its worker dies at each step', () => killAtEveryStep(trial));
  it('undoes on when its worker dies in each undo', () => killAtEveryUndo(trial));
  it('comes to its end when a stuck undo is mended and it is retried', () => retryWhereverStuck(trial));
  it('can be cancelled at each step', () => cancelAtEveryStep(trial));
  it('can be cancelled whatever it waits for', () => cancelInEveryWait(trial));
});

describe('a task with a point of no return', () => {
  const base = makeKind as TaskKind;
  const oneWay: Trial = {
    ...trial,
    kind: defineTask({ ...base, steps: base.steps.map((step, index) => (index === 3 ? { ...step, noReturn: true } : step)) }),
    check: async (task) => {
      if (task.state !== 'needs-attention') return check(task);
      expect(await worldRow(compute, task.object.id)).toMatchObject({ finished: 'needs-attention' });
      expect(await openLocks(compute)).toEqual([]);
      expect(task.error?.code).toBe('INTERNAL');
    },
  };
  it('turns back before it and asks for attention behind it', () => failureAtEveryStep(oneWay));
  it('is retried to its end on either side of it', () => retryWhereverStuck(oneWay));
  it('can be cancelled before it alone', () => cancelAtEveryStep(oneWay));
  it('can be cancelled before it alone, whatever it waits for', () => cancelInEveryWait(oneWay));
  it('turns back at it by a fault that says that nothing has happened, and leaves nothing behind', async () => {
    const kind = defineTask({
      ...base,
      steps: base.steps.map((step, index) => (index === 3 ? { ...step, noReturn: true, turnsBackOn: ({ code }) => code === NotFound.code, run: () => Promise.resolve(NotFound.fail('It is gone.', { noun: 'host', id: 'host-1' })) } : step)),
    });
    const engine = await trial.open(kind);
    const task = await taskEnd(engine, await trial.begin(engine));
    expect(task).toMatchObject({ state: 'failed', error: { code: NotFound.code } });
    expect(task.steps.map(({ state }) => state)).toEqual(['undone', 'undone', 'undone', 'undone', 'skipped']);
    await check(task);
  });
});
