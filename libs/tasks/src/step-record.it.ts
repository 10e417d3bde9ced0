// When steps come on record: with their first effect and not before.
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { HostUnreachable } from '#contracts';
import { execute, selectRows, transaction } from '#database';
import { FaultError, newUuid } from '#kernel';
import { defineTask } from './kind.ts';
import type { StepContext, TaskKind } from './kind.ts';
import type { TaskEngine } from './task.engine.ts';
import { taskEnd } from './testing/put-through.ts';
import { SceneBus, serviceScene } from './testing/scene.ts';
import type { ServiceScene } from './testing/scene.ts';

// For a busy machine; every wait inside has a bound of its own.
jest.setTimeout(120_000);

let compute: ServiceScene;
beforeAll(async () => { compute = await serviceScene(new SceneBus(), 'compute'); });
afterEach(() => compute.closeEngines());
afterAll(() => compute.close());

const kindOf = (...runs: ((ctx: StepContext<unknown>) => Promise<unknown>)[]): TaskKind =>
  defineTask({ kind: 'compute.trial.run', object: 'trial', steps: runs.map((run, index) => ({ name: `step-${index}`, run })) });
const begin = (engine: TaskEngine): Promise<string> =>
  transaction(engine.db, async (tx) => (await engine.start(tx, 'compute.trial.run', { objectId: newUuid(), input: {} })).taskId);

describe('the record of a step', () => {
  const steps = async (taskId: string): Promise<unknown[]> => selectRows(compute.db, 'SELECT seq, state, attempt FROM task_step WHERE task_id = ? ORDER BY seq', [taskId]);

  it('comes with its first effect, and with the end of those before it that had none', async () => {
    const seen: unknown[] = [];
    const engine = await compute.open([kindOf(
      () => Promise.resolve('first'), () => Promise.resolve('second'),
      async (ctx) => {
        seen.push(await steps(ctx.task.id));
        await ctx.tx(async () => { seen.push(await steps(ctx.task.id)); });
        seen.push(await steps(ctx.task.id));
        return ctx.output('step-1');
      },
      () => Promise.resolve('last'),
    )]);
    const task = await taskEnd(engine, await begin(engine));
    const row = (seq: number, state: string, attempt: number): object => ({ seq, state, attempt });
    const before = [row(0, 'running', 1), row(1, 'pending', 0), row(2, 'pending', 0), row(3, 'pending', 0)];
    expect(seen).toEqual([before, before, [row(0, 'done', 1), row(1, 'done', 1), row(2, 'running', 1), row(3, 'pending', 0)]]);
    expect(task).toMatchObject({ state: 'succeeded', output: 'last', steps: [0, 1, 2, 3].map((seq) => ({ seq, state: 'done', attempt: 1 })) });
    // Queued, running, at its third step, ended: nobody hears of what had no effect.
    expect(task.version).toBe(4);
  });

  it('is undone with its effect when the transaction of the two is', async () => {
    let tries = 0;
    const engine = await compute.open([kindOf(() => Promise.resolve(), async (ctx) => {
      await ctx.tx(() => { if ((tries += 1) === 1) throw new FaultError(HostUnreachable.fault('away', { hostId: 'h' })); return Promise.resolve(); });
    })]);
    const task = await taskEnd(engine, await begin(engine));
    expect(task).toMatchObject({ state: 'succeeded', steps: [{ state: 'done', attempt: 1 }, { state: 'done', attempt: 2 }] });
  });

  it('does not come behind a cancel: the step has no effect then', async () => {
    let effects = 0;
    const engine = await compute.open([kindOf(() => Promise.resolve(), async (ctx) => {
      // As another replica does it: this one has not heard of it.
      await transaction(compute.db, (tx) => execute(tx, "UPDATE task SET cancel_requested_at = UTC_TIMESTAMP(3), state = 'cancelling' WHERE id = ?", [ctx.task.id]));
      await ctx.tx(() => { effects += 1; return Promise.resolve(); });
    })]);
    const task = await taskEnd(engine, await begin(engine));
    expect(task).toMatchObject({ state: 'cancelled', steps: [{ state: 'undone' }, { state: 'skipped', attempt: 0 }] });
    expect(effects).toBe(0);
  });

  it('of several effects at once is one', async () => {
    const engine = await compute.open([kindOf(() => Promise.resolve(), async (ctx) => {
      await Promise.all(Array.from({ length: 8 }, () => ctx.tx((tx) => tx.query('SELECT 1'))));
    })]);
    expect(await taskEnd(engine, await begin(engine))).toMatchObject({ state: 'succeeded', version: 4, steps: [{ attempt: 1 }, { attempt: 1 }] });
  });
});
