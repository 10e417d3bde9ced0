// Every wait names its blocker: what a task says while it does not move, as a table, on a real database.
import { afterAll, afterEach, beforeAll, expect, it, jest } from '@jest/globals';
import { Busy, HostUnreachable, Unavailable } from '#contracts';
import type { Task } from '#contracts';
import { selectRow, transaction } from '#database';
import { FaultError, newUuid } from '#kernel';
import { until } from '#testing';
import { defineTask } from './kind.ts';
import type { StepContext, TaskKind } from './kind.ts';
import type { TaskEngine } from './task.engine.ts';
import { buildOnHost, hostBuild, nameThing } from './testing/sample-kinds.ts';
import { taskEnd } from './testing/put-through.ts';
import { SceneBus, serviceScene } from './testing/scene.ts';
import type { ServiceScene } from './testing/scene.ts';

// For a busy machine; every wait inside has a bound of its own.
jest.setTimeout(60_000);

const bus = new SceneBus();
buildOnHost(bus);
const busyWith = newUuid();
let compute: ServiceScene;
beforeAll(async () => { compute = await serviceScene(bus, 'compute'); });
afterEach(() => compute.closeEngines());
afterAll(() => compute.close());

type Run = (ctx: StepContext<unknown>) => Promise<unknown>;
const kindOf = (run: Run, more: Partial<TaskKind> = {}): TaskKind => defineTask({ kind: 'compute.trial.wait', object: 'trial', steps: [{ name: 'step', run }], ...more });
const begin = (engine: TaskEngine): Promise<string> => transaction(engine.db, async (tx) => (await engine.start(tx, 'compute.trial.wait', { objectId: newUuid(), input: {} })).taskId);
const askName: Run = (ctx) => ctx.request(nameThing, { thingId: 'x', name: 'y' });

interface Case {
  readonly kind: TaskKind;
  /** Before it begins; answers how to undo that. */
  readonly set?: () => () => void;
  readonly says: Partial<Task['waitsFor'] & object>;
}
const answering = (fault: () => Promise<never>) => (): (() => void) => {
  bus.handle(nameThing, fault);
  return () => { bus.handle(nameThing, () => Promise.resolve({})); };
};
const cases: Readonly<Record<string, Case>> = {
  'for the task that has what it needs of another service': {
    kind: kindOf(askName), says: { what: 'The task storage.thing.make works on this thing.', holder: busyWith },
    set: answering(() => Promise.reject(new FaultError(Busy.fault('The task storage.thing.make works on this thing.', { noun: 'thing', id: 'x', taskId: busyWith, heldBy: busyWith })))),
  },
  'for a service that does not answer': {
    kind: kindOf(askName), says: { what: 'storage does not answer.', holder: 'storage' },
    set: answering(() => Promise.reject(new FaultError(Unavailable.fault('storage does not answer.')))),
  },
  'for a host that does not answer': {
    kind: kindOf((ctx) => ctx.host('host-1', hostBuild, { id: 'x' })), says: { what: 'The host does not respond.', holder: 'host-1' },
    set: () => {
      bus.host.reachable = false;
      return () => { bus.host.reachable = true; };
    },
  },
  'for a host that a step has found silent by itself': { kind: kindOf(() => Promise.reject(new FaultError(HostUnreachable.fault('The host does not respond.', { hostId: 'host-2' })))), says: { holder: 'host-2' } },
  'for room in the database': {
    kind: kindOf(() => Promise.reject(Object.assign(new Error("The table 'thing' is full"), { code: 'ER_RECORD_FILE_FULL' }))), says: { what: 'The database of compute has no room left.', holder: 'compute' },
  },
  'for another try behind a bug': { kind: kindOf(() => Promise.reject(new Error('a bug'))), says: { what: 'the next try, after an error that nobody expected in the step step', holder: null } },
  'for its end to be recorded': {
    kind: kindOf(() => Promise.resolve(), { onFinished: () => Promise.reject(new Error('a bug')) }), says: { what: 'the next try to record its end, after an error that nobody expected', holder: null },
  },
};

/** Of a task that is neither at work nor about to be. */
const told = (engine: TaskEngine, taskId: string): Promise<Task['waitsFor'] & object> => until('it says what it waits for', async () => {
  const waits = (await engine.get(taskId))?.waitsFor ?? undefined;
  return waits?.what.startsWith('a worker of') === true ? undefined : waits;
});

it.each(Object.entries(cases))('a task that waits %s says so, and since when', async (_name, { kind, set, says }) => {
  const unset = set?.() ?? ((): void => undefined);
  try {
    const engine = await compute.open([kind], { settings: { mostErrors: 1_000 } });
    const taskId = await begin(engine);
    const waits = await told(engine, taskId);
    expect(waits).toMatchObject(says);
    // It looks again and again, and has waited since the first time.
    const tries = async (): Promise<number> => (await selectRow<{ run_epoch: number }>(compute.db, 'SELECT run_epoch FROM task WHERE id = ?', [taskId]))?.run_epoch ?? 0;
    const seen = await tries();
    await until('it has tried again', async () => (await tries()) > seen + 1);
    expect(await told(engine, taskId)).toEqual(waits);
    await transaction(engine.db, (tx) => engine.cancel(tx, taskId));
  } finally {
    unset();
  }
});

const otherSteps = defineTask({ kind: 'compute.trial.wait', object: 'trial', steps: [{ name: 'before', run: () => Promise.reject(new Error('not a step of this task')) }, { name: 'step', run: () => Promise.resolve() }] });

it.each([['kind', []], ['kind with the steps it has', [otherSteps]]])('a task whose %s nobody here knows waits for one who does', async (_what, kinds) => {
  const old = await compute.open([kindOf(() => Promise.resolve())]);
  await old.close();
  const taskId = await begin(old);
  const engine = await compute.open(kinds);
  const waits = await until('it says so', async () => {
    const found = (await engine.get(taskId))?.waitsFor;
    return found?.what.startsWith('a replica of') === true ? found : undefined;
  });
  expect(waits.what).toBe('a replica of compute that knows the task compute.trial.wait with the steps it has');
  const knows = await compute.open([kindOf(() => Promise.resolve())]);
  await engine.close();
  await knows.wake(taskId);
  expect((await taskEnd(knows, taskId)).state).toBe('succeeded');
});
