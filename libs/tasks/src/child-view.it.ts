// What a parent shows of the task that it has begun elsewhere, while that one works and waits.
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { z } from 'zod';
import { defineCommand, TaskRef } from '#contracts';
import { transaction } from '#database';
import { newUuid } from '#kernel';
import { until } from '#testing';
import { runCommand } from './command.store.ts';
import { defineTask } from './kind.ts';
import type { StepContext, TaskKind } from './kind.ts';
import { taskEnd } from './testing/put-through.ts';
import { SceneBus, serviceScene } from './testing/scene.ts';
import type { ServiceScene } from './testing/scene.ts';

// For a busy machine; every wait inside has a bound of its own.
jest.setTimeout(120_000);

const bus = new SceneBus();
let compute: ServiceScene;
let storage: ServiceScene;

beforeAll(async () => { [compute, storage] = await Promise.all([serviceScene(bus, 'compute'), serviceScene(bus, 'storage')]); });
afterEach(() => compute.closeEngines());
afterAll(async () => {
  await compute.close();
  await storage.close();
});

type Run = (ctx: StepContext<unknown>) => Promise<unknown>;

const copy = defineCommand('storage.thing.copy', { summary: 'Copy a thing', permission: 'internal', input: z.strictObject({ thingId: z.string() }), reply: TaskRef });
let done = 20;
let goOn = false;
const copying = defineTask<{ thingId: string }>({
  kind: 'storage.thing.copy', object: 'thing',
  steps: [{ name: 'copy-data', run: (ctx) => {
    ctx.progress({ done, total: 100, unit: 'bytes' });
    if (!goOn) ctx.waitFor({ what: 'the host to respond', holder: 'host-7', lookAgainMs: 50 });
    return Promise.resolve({});
  } }],
});
const run: Run = (ctx) => ctx.child(copy, { thingId: newUuid() });
const parent: TaskKind = defineTask({ kind: 'compute.trial.copy', object: 'trial', steps: [{ name: 'make-disk', run }] });

describe('the child of a task', () => {
  it('is seen in it with step, progress and what it waits for', async () => {
    const child = await storage.open([copying]);
    bus.handle(copy, (input, ctx) => runCommand(storage.db, { ctx, operation: copy, input }, (tx) => child.start(tx, copying, { objectId: input.thingId, objectName: 'disk 0', input, ctx })));
    const engine = await compute.open([parent]);
    const { taskId } = await transaction(compute.db, (tx) => engine.start(tx, parent, { objectId: newUuid(), input: {} }));
    const shown = (bytes: number) => until(`the parent shows ${bytes}, and who holds it up`, async () => {
      const task = await engine.get(taskId);
      return task?.progress?.done === bytes && task.waitsFor?.holder === 'host-7' && task;
    });
    expect(await shown(20)).toMatchObject({
      state: 'waiting', progress: { total: 100, unit: 'bytes' }, waitsFor: { what: 'the task storage.thing.copy, which waits for the host to respond' },
      steps: [{ children: [{ service: 'storage', kind: 'storage.thing.copy', object: { name: 'disk 0' }, step: 'copy-data', progress: { done: 20 } }] }],
    });
    done = 60;
    await shown(60);
    goOn = true;
    expect(await taskEnd(engine, taskId)).toMatchObject({ state: 'succeeded', progress: null, waitsFor: null, steps: [{ children: [{ state: 'succeeded', progress: { done: 100, total: 100 } }] }] });
  });
});
