// What is forgotten of tasks that have ended, and what never is, on the real database.
import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { getTask, NotFound, Unavailable } from '#contracts';
import type { Task } from '#contracts';
import { execute, selectRows, transaction } from '#database';
import { newUuid, ok } from '#kernel';
import type { Result } from '#kernel';
import { defineTask } from './kind.ts';
import { forgetTasks } from './retention.store.ts';
import { SceneBus, serviceScene } from './testing/scene.ts';
import type { ServiceScene } from './testing/scene.ts';
import type { TaskEngine } from './task.engine.ts';

const bus = new SceneBus();
let scene: ServiceScene;
let engine: TaskEngine;
let asked: string[];
/** What monitoring answers about tasks of others. */
let elsewhere: (taskId: string) => Result<Task>;
beforeAll(async () => {
  scene = await serviceScene(bus, 'compute');
  engine = await scene.open([defineTask({ kind: 'compute.trial.keep', object: 'trial', steps: [{ name: 'step', run: () => Promise.resolve() }] })]);
  await engine.close();
  bus.handle(getTask, ({ taskId }) => {
    asked.push(taskId);
    return Promise.resolve(elsewhere(taskId));
  });
});
beforeEach(async () => {
  asked = [];
  elsewhere = (id) => NotFound.fail('There is no task with this id.', { noun: 'task', id });
  for (const table of ['task', 'task_step']) await execute(scene.db, `DELETE FROM ${table}`);
});
afterAll(() => scene.close());

interface Made { readonly daysAgo: number | null; readonly state?: Task['state']; readonly root?: string }
async function make({ daysAgo, state = 'succeeded', root }: Made): Promise<string> {
  const { taskId } = await transaction(scene.db, (tx) => engine.start(tx, 'compute.trial.keep', { objectId: newUuid(), input: {} }));
  await execute(scene.db, 'UPDATE task SET state = ?, ended_at = UTC_TIMESTAMP(3) - INTERVAL ? DAY, parent_task_id = ?, root_task_id = ? WHERE id = ?', [daysAgo === null ? 'running' : state, daysAgo, root ?? null, root ?? taskId, taskId]);
  return taskId;
}
const forget = (kept = { days: 90, most: 1_000_000 }, signal?: AbortSignal): Promise<number> => forgetTasks({ db: scene.db, bus: bus.of('compute'), kept }, signal);
const left = async (): Promise<Set<string>> => new Set((await selectRows<{ id: string }>(scene.db, 'SELECT id FROM task')).map(({ id }) => id));

it('tasks that ended long ago go with their steps; those that are open or need attention stay', async () => {
  const stay = [await make({ daysAgo: 89 }), await make({ daysAgo: null }), await make({ daysAgo: 400, state: 'needs-attention' })];
  for (const state of ['succeeded', 'failed', 'cancelled'] as const) await make({ daysAgo: 91, state });
  expect(await forget()).toBe(3);
  expect(await left()).toEqual(new Set(stay));
  expect(new Set((await selectRows<{ task_id: string }>(scene.db, 'SELECT task_id FROM task_step')).map(({ task_id }) => task_id))).toEqual(new Set(stay));
  expect(await forget()).toBe(0);
});

it('where there are too many the oldest go, but none of the last week', async () => {
  const ids = [await make({ daysAgo: 1 }), await make({ daysAgo: 3 }), await make({ daysAgo: 6 }), await make({ daysAgo: 20 }), await make({ daysAgo: 30 })];
  expect(await forget({ days: 90, most: 4 })).toBe(0);
  await make({ daysAgo: 40 });
  expect(await forget({ days: 90, most: 4 })).toBe(1);
  expect(await forget({ days: 90, most: 1 })).toBe(2);
  expect(await left()).toEqual(new Set(ids.slice(0, 3)));
});

it('a child stays for as long as its root is open or may be retried, here or elsewhere, or nobody knows', async () => {
  const open = await make({ daysAgo: null });
  const stuck = await make({ daysAgo: 200, state: 'needs-attention' });
  const done = await make({ daysAgo: 10 });
  const [foreign, silent, gone] = [newUuid(), newUuid(), newUuid()];
  const states: Readonly<Record<string, Result<Task>>> = { [foreign]: ok({ state: 'waiting' } as Task), [silent]: Unavailable.fail('monitoring does not answer', { service: 'monitoring' }) };
  elsewhere = (id) => states[id] ?? NotFound.fail('There is no task with this id.', { noun: 'task', id });
  const kept = [];
  for (const root of [open, stuck, foreign, silent]) kept.push(await make({ daysAgo: 150, root }));
  for (const root of [done, gone]) await make({ daysAgo: 150, root });
  expect(await forget()).toBe(2);
  expect(await left()).toEqual(new Set([open, stuck, done, ...kept]));
  expect(new Set(asked)).toEqual(new Set([foreign, silent, gone]));
});

it('ends after the portion in which it is told to', async () => {
  await Promise.all(Array.from({ length: 210 }, () => make({ daysAgo: 100 })));
  expect(await forget(undefined, AbortSignal.abort())).toBe(200);
  expect(await forget()).toBe(10);
}, 60_000);

it('those that stay do not stand before those that may go', async () => {
  const open = await make({ daysAgo: null });
  await Promise.all(Array.from({ length: 210 }, () => make({ daysAgo: 300, root: open })));
  await make({ daysAgo: 100 });
  expect(await forget()).toBe(1);
}, 60_000);
