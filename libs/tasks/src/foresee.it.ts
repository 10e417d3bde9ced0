// What a dry run may look into, and that nothing is left of it.
import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { PlanDraft } from '#bus';
import { HostUnreachable, NoCapacity } from '#contracts';
import type { Plan } from '#contracts';
import { execute, selectRows } from '#database';
import { FaultError, newUuid } from '#kernel';
import { runCommand } from './command.store.ts';
import type { StepContext, TaskKind } from './kind.ts';
import { hostBuild, makeThing, openLocks, worldMigration } from './testing/sample-kinds.ts';
import { contextOf, SceneBus, serviceScene } from './testing/scene.ts';
import type { ServiceScene } from './testing/scene.ts';

// For a busy machine; every wait inside has a bound of its own.
jest.setTimeout(120_000);

const bus = new SceneBus();
let compute: ServiceScene;

beforeAll(async () => { compute = await serviceScene(bus, 'compute', [worldMigration]); });
afterEach(() => compute.closeEngines());
afterAll(() => compute.close());

type Run = (ctx: StepContext<unknown>) => Promise<unknown>;

describe('a dry run', () => {
  const kind = (run: Run, more: Partial<TaskKind['steps'][number]> = { foreseeable: true }): TaskKind =>
    ({ kind: `compute.trial.dry-${newUuid().slice(-6)}`, object: 'trial', steps: [{ name: 'first', run, ...more }, { name: 'second', foreseeable: true, run: (ctx) => Promise.resolve({ after: ctx.output('first') }) }] });
  async function foretold(kinds: readonly TaskKind[]): Promise<Plan> {
    const engine = await compute.open(kinds);
    const ctx = contextOf({ system: true, dryRun: new PlanDraft() });
    const before = JSON.stringify(await selectRows(compute.db, 'SELECT * FROM task'));
    const answer = await runCommand(compute.db, { ctx, operation: makeThing, input: { thingId: 't', owner: 'o' } }, (tx) => engine.start(tx, kinds[0]!, { objectId: newUuid(), input: {}, ctx, lock: [{ noun: 'trial', id: 't' }] }));
    expect(answer.ok).toBe(true);
    expect(JSON.stringify(await selectRows(compute.db, 'SELECT * FROM task'))).toBe(before);
    expect(await openLocks(compute)).toEqual([]);
    return ctx.dryRun!.finished(makeThing, 'system', null);
  }
  const outlooks = (plan: Plan) => plan.steps.map(({ outlook }) => outlook);

  it('runs the steps that can be foreseen with what the ones before them found', async () => {
    const seen: unknown[] = [];
    const plan = await foretold([kind((ctx) => {
      ctx.decided('it is decided', { so: true });
      return ctx.tx(async (tx) => { seen.push(await execute(tx, 'INSERT INTO world (id, owner) VALUES (?, ?)', ['dry', ctx.task.id])); });
    })]);
    expect(outlooks(plan)).toEqual(['foreseen', 'foreseen']);
    expect(plan.steps[0]?.decisions).toEqual([{ text: 'it is decided', details: { so: true } }]);
    expect(seen).toEqual([1]);
    expect(await selectRows(compute.db, 'SELECT * FROM world WHERE id = ?', ['dry'])).toEqual([]);
  });

  it('sends nothing to a host and asks no one who could not explain', async () => {
    const [arrived, asked] = [bus.host.arrived.length, bus.seen.length];
    const plans = [await foretold([kind((ctx) => ctx.host('host-1', hostBuild, { id: 'x' }))]), await foretold([kind((ctx) => ctx.child(makeThing, { thingId: 'x', owner: 'x' }))])];
    expect(plans.map(outlooks)).toEqual([['planned', 'planned'], ['planned', 'planned']]);
    expect(plans.map((plan) => plan.steps[0]?.decisions[0]?.text)).toEqual(['tells the host: Build', 'asks storage: Make a thing']);
    expect([bus.host.arrived.length, bus.seen.length]).toEqual([arrived, asked]);
  });

  it('only names a step that does not say that it can be foreseen', async () => {
    let ran = false;
    const plan = await foretold([kind(() => { ran = true; return Promise.resolve(null); }, {})]);
    expect([ran, outlooks(plan)]).toEqual([false, ['planned', 'planned']]);
  });

  it('tells a failure that the task would have, and only warns of one that passes by itself', async () => {
    const [failing, passing] = [await foretold([kind(() => Promise.resolve(NoCapacity.fail('full', { refusals: [] })))]), await foretold([kind(() => Promise.reject(new FaultError(HostUnreachable.fault('away', { hostId: 'h' }))))])];
    expect(failing).toMatchObject({ succeeds: false, error: { code: 'NO_CAPACITY' }, steps: [{ outlook: 'fails' }, { outlook: 'planned' }] });
    expect(passing).toMatchObject({ succeeds: true, error: null, warnings: ['first cannot be foreseen now: away'], steps: [{ outlook: 'planned' }, { outlook: 'planned' }] });
  });
});
