// A cancel while a task waits: for a worker, for a slot, for a host or a service that has done its work and does not answer, or on its way
// back. Accepted or refused as the kind declares; the task ends within the time that users are promised, and the world is as it was.
import assert from 'node:assert/strict';
import type { HostOperation, Operation, Task } from '#contracts';
import { HostUnreachable, Unavailable } from '#contracts';
import { sleep } from '#kernel';
import { Parked } from '../interrupt.ts';
import { pointOfNoReturn } from '../kind.ts';
import type { StepContext, TaskKind } from '../kind.ts';
import type { TaskEngine } from '../task.engine.ts';
import { noteProof } from './proof-note.ts';
import type { Fault } from './proof-note.ts';
import { cancelOf, END_WITHIN_MS, injected, steps, taskEnd, undosBefore, vary } from './trial.ts';
import type { Trial } from './trial.ts';

/** What users are promised. */
const CANCELLED_WITHIN_MS = 30_000;
/** Nothing but a cancel or a wake ends a wait of this test. */
const LONG_MS = 600_000;

/** What a task waits for at a step when it is cancelled. */
type Wait = 'worker' | 'slot' | 'host' | 'service' | 'undo';
const faultOf: Readonly<Record<Wait, Fault>> = {
  worker: 'cancelled, no worker', slot: 'cancelled, no slot', host: 'cancelled, host silent', service: 'cancelled, service silent', undo: 'cancelled on its way back',
};

/** How what it says then begins. */
const saysOf: Readonly<Record<Wait, string>> = {
  worker: 'a worker of', slot: 'one of the 0 turns at once', host: 'The host does not respond.', service: 'The service does not answer.', undo: 'the host to respond',
};

interface Place {
  readonly at: number;
  readonly wait: Wait;
}

/** Where each task stands, and which have been let go on. */
class Places {
  readonly of = new Map<string, Place>();
  /** Tasks that have come to their place. */
  readonly met = new Set<string>();
  readonly released = new Set<string>();

  /** Whether this task waits here. */
  has(taskId: string, at: number, ...waits: readonly Wait[]): boolean {
    const place = this.of.get(taskId);
    return place?.at === at && waits.includes(place.wait) && !this.released.has(taskId);
  }

  /** Waits for ever. */
  stay(taskId: string, holder: string, because?: Parked['because']): never {
    const place = this.of.get(taskId);
    throw new Parked({ what: saysOf[place?.wait ?? 'worker'], holder, position: null }, LONG_MS, because);
  }
}

const placesOf = (kind: TaskKind): Place[] => [
  { at: 0, wait: 'worker' },
  ...steps(kind).flatMap((at) => (['slot', 'host', 'service'] as const).map((wait) => ({ at, wait }))),
  ...undosBefore(kind, pointOfNoReturn(kind)).map((at) => ({ at, wait: 'undo' as const })),
];

/** All of the kind's waits at once, one task for each. */
export const cancelInEveryWait = (trial: Trial): Promise<void> => cancelAll(trial, new Places());

/** The same, and notes which waits there were: not the same steps for each of its faults. */
export async function cancelInEveryWaitNoted(trial: Trial): Promise<void> {
  const places = new Places();
  const note = (state: 'passed' | 'failed', counts: (taskId: string) => boolean): void => {
    for (const [wait, fault] of Object.entries(faultOf)) {
      const cells = [...places.of].filter(([taskId, place]) => place.wait === wait && counts(taskId)).map(([, { at }]) => trial.kind.steps[at]?.name ?? String(at));
      if (cells.length > 0) noteProof({ kind: trial.kind, fault, cells, state });
    }
  };
  try {
    await cancelAll(trial, places);
  } catch (error) {
    note('failed', () => true);
    throw error;
  }
  note('passed', (taskId) => places.met.has(taskId));
}

async function cancelAll(trial: Trial, places: Places): Promise<void> {
  // Begun while nobody works, so that it is known of each where it will wait before it runs.
  const idle = await trial.open(trial.kind);
  await idle.close();
  for (const place of placesOf(trial.kind)) {
    const taskId = await trial.begin(idle);
    places.of.set(taskId, place);
    if (place.wait === 'worker') await cancelQueued(trial, idle, places, taskId);
  }
  const engine = await trial.open(waiting(trial.kind, places), { slots: { 'trial.turns': 0 } });
  try {
    await Promise.all([...places.of].map(([taskId, place]) => cancelWaiting(trial, engine, places, taskId, place)));
    // Once all have ended, nothing that one has left is hidden by another.
    for (const taskId of places.of.keys()) await check(trial, places, await taskEnd(engine, taskId));
  } finally {
    await engine.close();
  }
}

/** Nobody works, and the cancel is all that it takes. */
async function cancelQueued(trial: Trial, idle: TaskEngine, places: Places, taskId: string): Promise<void> {
  const { state, waitsFor } = await read(idle, taskId);
  assert.deepEqual([state, waitsFor?.what, typeof waitsFor?.position], ['queued', `a worker of ${idle.service}`, 'number']);
  assert.equal(await cancelOf(idle, taskId), null);
  places.met.add(taskId);
  const task = await read(idle, taskId);
  assert.deepEqual([task.state, new Set(task.steps.map((step) => step.state))], ['cancelled', new Set(['skipped'])]);
  await check(trial, places, task);
}

async function cancelWaiting(trial: Trial, engine: TaskEngine, places: Places, taskId: string, place: Place): Promise<void> {
  const waits = await waitOf(engine, places, taskId, place);
  if (waits === undefined) return; // it waits for nothing of this kind there
  const where = `${place.wait} at ${trial.kind.steps[place.at]?.name ?? place.at}`;
  assert.ok(!Number.isNaN(Date.parse(waits.since)), where);
  assert.ok(place.wait === 'slot' ? (waits.position ?? 0) >= 1 : waits.holder !== null, `${where}: ${JSON.stringify(waits)}`);
  const refused = place.wait === 'undo' || place.at >= pointOfNoReturn(trial.kind);
  assert.equal(await cancelOf(engine, taskId), refused ? 'TASK_NOT_CANCELLABLE' : null, where);
  if (refused) {
    places.released.add(taskId);
    await engine.wake(taskId);
    assert.equal((await taskEnd(engine, taskId)).state, place.wait === 'undo' ? 'failed' : 'succeeded', where);
    return;
  }
  assert.equal(await cancelOf(engine, taskId), null, `${where}: a second time`);
  assert.equal((await taskEnd(engine, taskId, CANCELLED_WITHIN_MS)).state, 'cancelled', where);
}

/** What it says that it waits for; undefined when it has ended. */
async function waitOf(engine: TaskEngine, places: Places, taskId: string, { wait }: Place): Promise<Task['waitsFor'] & object | undefined> {
  for (const giveUpAt = performance.now() + END_WITHIN_MS; performance.now() < giveUpAt;) {
    const task = await read(engine, taskId);
    if (task.endedAt !== null) return undefined;
    if (task.waitsFor?.what.startsWith(saysOf[wait]) === true) {
      places.met.add(taskId);
      return task.waitsFor;
    }
    await sleep(20);
  }
  throw new Error(`a task has not come to where it waits: ${JSON.stringify(await read(engine, taskId))}`);
}

async function read(engine: TaskEngine, taskId: string): Promise<Task> {
  const task = await engine.get(taskId);
  assert.ok(task !== undefined);
  return task;
}

async function check(trial: Trial, places: Places, task: Task): Promise<void> {
  const place = places.of.get(task.id);
  await trial.check(task).catch((error: unknown) => {
    throw new Error(`${place?.wait ?? ''} at ${trial.kind.steps[place?.at ?? 0]?.name ?? ''}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  });
}

function waiting(kind: TaskKind, places: Places): TaskKind {
  const turn = Math.min(kind.steps.length, pointOfNoReturn(kind)) - 1;
  return vary(kind, (step, at) => ({
    slots: ({ task: { id } }) => (places.has(id, at, 'slot') ? [{ noun: 'trial', id, of: 'turns' }] : []),
    run: async (ctx) => {
      const { id } = ctx.task;
      const answer = await step.run(places.has(id, at, 'host', 'service') ? unanswered(ctx, places) : ctx);
      // Those that wait on their way back turn at the last step from which they can.
      if (at === turn && places.of.get(id)?.wait === 'undo') throw injected();
      return answer;
    },
    ...(step.undo === undefined ? {} : {
      undo: (ctx) => {
        if (places.has(ctx.task.id, at, 'undo')) places.stay(ctx.task.id, 'a host');
        return step.undo?.(ctx) ?? Promise.resolve();
      },
    }),
  }));
}

/** Calls of the kind that the task waits for are carried out, and their answer never comes. */
function unanswered(ctx: StepContext<unknown>, places: Places): StepContext<unknown> {
  const { id } = ctx.task;
  const isHost = places.of.get(id)?.wait === 'host';
  const silentHost = async (...call: Parameters<typeof ctx.host<HostOperation>>): Promise<never> => {
    await ctx.host(...call);
    return places.stay(id, call[0], HostUnreachable.fault(saysOf.host, { hostId: call[0] }));
  };
  const silentService = <C extends readonly [Operation, ...unknown[]]>(ask: (...call: C) => Promise<unknown>) => async (...call: C): Promise<never> => {
    await ask(...call);
    return places.stay(id, call[0].service, Unavailable.fault(saysOf.service));
  };
  const silent: Partial<Record<string | symbol, unknown>> = isHost ? { host: silentHost } : {
    request: silentService((...call: Parameters<typeof ctx.request<Operation>>) => ctx.request(...call)),
    child: silentService((...call: Parameters<typeof ctx.child<Operation>>) => ctx.child(...call)),
    children: async (...[calls]: Parameters<typeof ctx.children>): Promise<unknown> => {
      const ended = await ctx.children(calls);
      const [first] = calls;
      return first === undefined ? ended : places.stay(id, first.operation.service, Unavailable.fault(saysOf.service));
    },
  };
  return new Proxy(ctx, {
    get: (target, name) => {
      if (name in silent) return silent[name];
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
