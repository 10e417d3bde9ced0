// What every kind of task must survive, as functions that any kind can be put through: each step twice, a failure at each
// step, a worker that dies at each step, each undo twice, a cancel at each step. They throw when the kind does not.
import assert from 'node:assert/strict';
import type { Task, TaskState } from '#contracts';
import { endStates, Internal } from '#contracts';
import { transaction } from '#database';
import { FaultError, sleep } from '#kernel';
import { pointOfNoReturn } from '../kind.ts';
import type { Step, StepContext, TaskKind } from '../kind.ts';
import type { TaskEngine } from '../task.engine.ts';

/** The world that a kind works on. */
export interface Trial {
  readonly kind: TaskKind;
  /** An open engine on the trial's schema that knows `kind` (a variant of the trial's), with short claims. */
  open(kind: TaskKind): Promise<TaskEngine>;
  /** Begins one task that would succeed; another object each time. */
  begin(engine: TaskEngine): Promise<string>;
  /** Throws unless the world is as it must be after this end: all there, or nothing left behind. */
  check(task: Task): Promise<void>;
}

const END_WITHIN_MS = 30_000;

/** Waits for the end of a task. */
export async function taskEnd(engine: TaskEngine, taskId: string, withinMs = END_WITHIN_MS): Promise<Task> {
  const giveUpAt = performance.now() + withinMs;
  for (;;) {
    const task = await engine.get(taskId);
    if (task !== undefined && endStates.includes(task.state)) return task;
    if (performance.now() > giveUpAt) throw new Error(`the task has not ended within ${withinMs} ms: ${JSON.stringify(task)}`);
    await sleep(20);
  }
}

type Act = (ctx: StepContext<unknown>) => Promise<unknown>;
type Variant = (step: Step<unknown>, index: number) => { readonly run?: Act; readonly undo?: Act };

/** The kind with other `run`s or `undo`s at some steps. */
function vary(kind: TaskKind, variant: Variant): TaskKind {
  return { ...kind, steps: kind.steps.map((step, index) => ({ ...step, ...bound(step), ...variant(step, index) })) };
}

const bound = (step: Step<unknown>): { readonly run: Act; readonly undo?: Act } =>
  ({ run: (ctx) => step.run(ctx), ...(step.undo === undefined ? {} : { undo: (ctx: StepContext<unknown>) => step.undo?.(ctx) ?? Promise.resolve() }) });

const injected = (): FaultError => new FaultError(Internal.fault('an injected failure'));

async function runToEnd(trial: Trial, kind: TaskKind, expected: TaskState): Promise<Task> {
  const engine = await trial.open(kind);
  try {
    const task = await taskEnd(engine, await trial.begin(engine));
    assert.equal(task.state, expected, `ended ${task.state}, not ${expected}: ${JSON.stringify(task)}`);
    await trial.check(task);
    return task;
  } finally {
    await engine.close();
  }
}

/** Each step's run twice in a row: the second finds the work done and changes nothing. */
export async function everyStepTwice(trial: Trial): Promise<void> {
  await runToEnd(trial, vary(trial.kind, (step) => ({
    run: async (ctx) => {
      await step.run(ctx);
      return step.run(ctx);
    },
  })), 'succeeded');
}

/** A failure at each step, before its work and after it: everything is undone, or the task asks for attention past its point of no return. */
export async function failureAtEveryStep(trial: Trial): Promise<void> {
  for (const at of trial.kind.steps.keys()) {
    for (const place of ['before', 'after'] as const) {
      await runToEnd(trial, failing(trial.kind, at, place), at >= pointOfNoReturn(trial.kind) ? 'needs-attention' : 'failed');
    }
  }
}

const failing = (kind: TaskKind, at: number, place: 'before' | 'after'): TaskKind => vary(kind, (step, index) => (index !== at ? {} : {
  run: async (ctx) => {
    if (place === 'after') await step.run(ctx);
    throw injected();
  },
}));

/** Each undo twice in a row, after a failure at each step that can turn back. */
export async function undoTwice(trial: Trial): Promise<void> {
  for (const at of trial.kind.steps.keys()) {
    if (at >= pointOfNoReturn(trial.kind)) return;
    await runToEnd(trial, vary(failing(trial.kind, at, 'after'), (step) => (step.undo === undefined ? {} : {
      undo: async (ctx) => {
        await step.undo?.(ctx);
        await step.undo?.(ctx);
      },
    })), 'failed');
  }
}

/** The worker dies at each step, before its work and between its work and its record: another one brings the task to its end. */
export async function killAtEveryStep(trial: Trial): Promise<void> {
  for (const at of trial.kind.steps.keys()) {
    for (const place of ['before', 'after'] as const) {
      const death = Promise.withResolvers<undefined>();
      const dying = vary(trial.kind, (step, index) => (index !== at ? {} : { run: dies(step.run.bind(step), place, death.resolve) }));
      await takeOver(trial, dying, trial.kind, death.promise, 'succeeded');
    }
  }
}

/** The worker dies in each undo, on the way back from a failure. */
export async function killAtEveryUndo(trial: Trial): Promise<void> {
  const last = Math.min(trial.kind.steps.length, pointOfNoReturn(trial.kind)) - 1;
  const failingKind = failing(trial.kind, last, 'after');
  for (const [at, step] of trial.kind.steps.entries()) {
    if (at > last || step.undo === undefined) continue;
    for (const place of ['before', 'after'] as const) {
      const death = Promise.withResolvers<undefined>();
      const dying = vary(failingKind, (varied, index) => (index !== at ? {} : { undo: dies((ctx) => varied.undo?.(ctx) ?? Promise.resolve(), place, death.resolve) }));
      await takeOver(trial, dying, failingKind, death.promise, 'failed');
    }
  }
}

/** Does its work, says that its time has come, and never answers: what a killed process looks like from outside. */
function dies(work: Act, place: 'before' | 'after', tell: (value: undefined) => void): Act {
  return async (ctx) => {
    if (place === 'after') await work(ctx);
    tell(undefined);
    return new Promise((_resolve, reject) => { ctx.signal.addEventListener('abort', () => { reject(new Error('killed')); }); });
  };
}

async function takeOver(trial: Trial, dying: TaskKind, whole: TaskKind, death: Promise<undefined>, expected: TaskState): Promise<void> {
  const first = await trial.open(dying);
  const taskId = await trial.begin(first);
  await death;
  await first.vanish();
  const second = await trial.open(whole);
  try {
    const task = await taskEnd(second, taskId);
    assert.equal(task.state, expected, `ended ${task.state}, not ${expected}: ${JSON.stringify(task)}`);
    await trial.check(task);
  } finally {
    await second.close();
  }
}

/** A cancel within each step: everything is undone; past the point of no return the cancel is refused and the task succeeds. */
export async function cancelAtEveryStep(trial: Trial): Promise<void> {
  for (const at of trial.kind.steps.keys()) {
    const refusals: (string | null)[] = [];
    const opened = Promise.withResolvers<TaskEngine>();
    const kind = vary(trial.kind, (step, index) => (index !== at ? {} : {
      run: async (ctx) => {
        const answer = await step.run(ctx);
        refusals.push(await cancelOf(await opened.promise, ctx.task.id));
        return answer;
      },
    }));
    const engine = await trial.open(kind);
    opened.resolve(engine);
    try {
      const task = await taskEnd(engine, await trial.begin(engine));
      const past = at >= pointOfNoReturn(trial.kind);
      assert.deepEqual(refusals, [past ? 'TASK_NOT_CANCELLABLE' : null]);
      assert.equal(task.state, past ? 'succeeded' : 'cancelled');
      await trial.check(task);
    } finally {
      await engine.close();
    }
  }
}

async function cancelOf(engine: TaskEngine, taskId: string): Promise<string | null> {
  try {
    await transaction(engine.db, (tx) => engine.cancel(tx, taskId));
    return null;
  } catch (error) {
    if (error instanceof FaultError) return error.fault.code;
    throw error;
  }
}

/** All of the above, each by what it shows of a kind, with the time that it is given for a kind of some ten steps, ms. */
export const proofs = [
  { shows: 'survives each step twice', proof: everyStepTwice, withinMs: 60_000 },
  { shows: 'leaves nothing behind after a failure at each step', proof: failureAtEveryStep, withinMs: 60_000 },
  { shows: 'undoes twice what it undoes', proof: undoTwice, withinMs: 60_000 },
  { shows: 'goes on when its worker dies at each step', proof: killAtEveryStep, withinMs: 90_000 },
  { shows: 'undoes on when its worker dies in each undo', proof: killAtEveryUndo, withinMs: 60_000 },
  { shows: 'can be cancelled at each step before its point of no return', proof: cancelAtEveryStep, withinMs: 60_000 },
] as const;

/** Puts a kind through them one after another. */
export async function putThrough(trial: Trial): Promise<void> {
  for (const { proof } of proofs) await proof(trial);
}
