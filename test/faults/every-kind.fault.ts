// Every kind of task that there is, at work at the same time, and every service that works on them killed at once: each
// task succeeds without hands. The kinds are read from the sources, so a new one cannot be forgotten.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { endStates, getImage, listTasks, taskServices } from '#contracts';
import { eventually } from '../e2e/eventually.ts';
import { crash, startAgain, waitReady } from '../e2e/lab.mjs';
import { MiB, openWorld } from '../e2e/world.ts';
import type { World } from '../e2e/world.ts';
import { begunBy, declaredKinds, kindsOf, withoutRow } from './kinds.ts';
import type { Kinds } from './kinds.ts';

let world: World;
let kinds: Kinds;
beforeAll(async () => {
  world = await openWorld('kinds');
  kinds = kindsOf(world);
});
afterAll(async () => {
  await waitReady(world.lab);
  await kinds.clear();
}, 120_000);

/** When the services are killed: how many steps of the open tasks are done by then. */
const moments: readonly (readonly [string, number])[] = [['at once', 0], ['after the first steps', 4], ['further on', 12]];

describe('F28: every kind of task', () => {
  it('has a row here', () => {
    const declared = declaredKinds(world.lab.repo);
    expect(withoutRow(kinds, declared)).toEqual([]);
    expect(Object.keys(kinds.table).filter((kind) => !declared.includes(kind))).toEqual([]);
  });

  it.each(moments)('succeeds when all services that work on tasks are killed %s', async (_, stepsDone) => {
    const round = stepsDone;
    const stage = await kinds.prepare(round);
    const begun = Object.entries(kinds.table).filter(([kind]) => !(kind in begunBy));
    const refs = await Promise.all(begun.map(([, start]) => start(stage, round)));
    const ids = new Set<string>(refs.map((ref) => ref.taskId));
    await eventually('so many steps are done', async () => {
      const own = (await world.rest.ask(listTasks, { limit: 200 })).items.filter((task) => ids.has(task.id));
      const steps = own.flatMap((task) => task.steps).filter((step) => step.state === 'done').length;
      return steps >= stepsDone && (stepsDone === 0 || own.some((task) => !endStates.includes(task.state)));
    }, { everyMs: 20 });
    await Promise.all(taskServices.map((service) => crash(world.lab, service)));
    for (const service of taskServices) startAgain(world.lab, service);
    await waitReady(world.lab);
    const tasks = await Promise.all(refs.map((ref) => world.rest.ended(ref)));
    expect(tasks.map((task) => [task.kind, task.state, task.error])).toEqual(begun.map(([kind]) => [kind, 'succeeded', null]));
    expect(await world.rest.ask(getImage, { imageId: stage.image.import })).toMatchObject({ state: 'ready', sizeBytes: 4 * MiB });
  }, 240_000);
});
