// What every kind of task must survive, as functions that any kind can be put through: each step twice, a failure at each
// step, a worker that dies at each step, each undo twice, a cancel at each step, an undo that is stuck. They throw when the kind does not. A proof
// puts one task through each of its points, all of them at once: what a dead worker's claim costs in time is waited for once.
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
  /** An open engine on the trial's schema that knows `kind` (a variant of the trial's), with short claims, and room for two tasks per step at once. */
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

/** Where something happens to a task: at the step of this index, before its work or behind it. */
interface Point {
  readonly at: number;
  readonly place: 'before' | 'after';
}

const steps = (kind: TaskKind): number[] => [...kind.steps.keys()];
const bothPlaces = (indexes: readonly number[]): Point[] => indexes.flatMap((at) => [{ at, place: 'before' as const }, { at, place: 'after' as const }]);
const behind = (indexes: readonly number[]): Point[] => indexes.map((at) => ({ at, place: 'after' }));

/** Which task has which point. All tasks of a proof run at once in one engine; one may be at work before its id is known here, and waits. */
class Points {
  private readonly told = new Map<string, PromiseWithResolvers<Point>>();

  tell(taskId: string, point: Point): void {
    this.ofTask(taskId).resolve(point);
  }

  /** `special` where the point of the asking task is, `usual` elsewhere. */
  at(index: number, special: (point: Point) => Act, usual: Act): Act {
    return async (ctx) => {
      const point = await this.ofTask(ctx.task.id).promise;
      return point.at === index ? special(point)(ctx) : usual(ctx);
    };
  }

  private ofTask(taskId: string): PromiseWithResolvers<Point> {
    const known = this.told.get(taskId) ?? Promise.withResolvers<Point>();
    this.told.set(taskId, known);
    return known;
  }
}

interface Begun {
  readonly taskId: string;
  readonly point: Point;
}

/** Begins one task per point, one after another. */
async function beginAll(trial: Trial, engine: TaskEngine, points: Points, wanted: readonly Point[]): Promise<Begun[]> {
  const begun: Begun[] = [];
  for (const point of wanted) {
    const taskId = await trial.begin(engine);
    points.tell(taskId, point);
    begun.push({ taskId, point });
  }
  return begun;
}

/** Each task must come to its end, and once all have, the world must be as it must be then. */
async function endAll(trial: Trial, engine: TaskEngine, begun: readonly Begun[], expected: (point: Point) => TaskState): Promise<void> {
  const ended = await Promise.all(begun.map(async ({ taskId, point }) => ({ task: await taskEnd(engine, taskId), point })));
  for (const { task, point } of ended) {
    const where = `${point.place} ${trial.kind.steps[point.at]?.name ?? point.at}`;
    assert.equal(task.state, expected(point), `${where}: ended ${task.state}, not ${expected(point)}: ${JSON.stringify(task)}`);
    await trial.check(task).catch((error: unknown) => { throw new Error(`${where}: ${error instanceof Error ? error.message : String(error)}`, { cause: error }); });
  }
}

async function runToEnd(trial: Trial, points: Points, wanted: readonly Point[], kind: TaskKind, expected: (point: Point) => TaskState): Promise<void> {
  const engine = await trial.open(kind);
  try {
    await endAll(trial, engine, await beginAll(trial, engine, points, wanted), expected);
  } finally {
    await engine.close();
  }
}

/** Each step's run twice in a row: the second finds the work done and changes nothing. */
export async function everyStepTwice(trial: Trial): Promise<void> {
  await runToEnd(trial, new Points(), [{ at: 0, place: 'after' }], vary(trial.kind, (step) => ({
    run: async (ctx) => {
      await step.run(ctx);
      return step.run(ctx);
    },
  })), () => 'succeeded');
}

/** A failure at each step, before its work and after it: everything is undone, or the task asks for attention past its point of no return. */
export async function failureAtEveryStep(trial: Trial): Promise<void> {
  const points = new Points();
  await runToEnd(trial, points, bothPlaces(steps(trial.kind)), failing(trial.kind, points), ({ at }) => (at >= pointOfNoReturn(trial.kind) ? 'needs-attention' : 'failed'));
}

const failsIn = (work: Act, place: Point['place']): Act => async (ctx) => {
  if (place === 'after') await work(ctx);
  throw injected();
};

const failing = (kind: TaskKind, points: Points): TaskKind => vary(kind, (step, index) => ({ run: points.at(index, ({ place }) => failsIn(step.run.bind(step), place), (ctx) => step.run(ctx)) }));

/** Every task of it turns back behind the work of this step, the last from which it can. */
const turningAt = (kind: TaskKind, last: number): TaskKind => vary(kind, (step, index) => (index === Math.min(kind.steps.length - 1, last) ? { run: failsIn(step.run.bind(step), 'after') } : {}));

const undosBefore = (kind: TaskKind, noReturn: number): number[] => steps(kind).filter((at) => at < noReturn && kind.steps[at]?.undo !== undefined);

/** Each undo twice in a row, after a failure at each step that can turn back. */
export async function undoTwice(trial: Trial): Promise<void> {
  const points = new Points();
  await runToEnd(trial, points, behind(steps(trial.kind).filter((at) => at < pointOfNoReturn(trial.kind))), vary(failing(trial.kind, points), (step) => (step.undo === undefined ? {} : {
    undo: async (ctx) => {
      await step.undo?.(ctx);
      await step.undo?.(ctx);
    },
  })), () => 'failed');
}

/** The worker dies at each step, before its work and between its work and its record: another one brings the task to its end. */
export async function killAtEveryStep(trial: Trial): Promise<void> {
  const points = new Points();
  const deaths = new Deaths();
  const dying = vary(trial.kind, (step, index) => ({ run: points.at(index, ({ place }) => deaths.in(step.run.bind(step), place), (ctx) => step.run(ctx)) }));
  await takeOver(trial, points, deaths, bothPlaces(steps(trial.kind)), dying, trial.kind, 'succeeded');
}

/** The worker dies in each undo, on the way back from a failure. */
export async function killAtEveryUndo(trial: Trial): Promise<void> {
  const noReturn = pointOfNoReturn(trial.kind);
  const failingKind = turningAt(trial.kind, noReturn - 1);
  const points = new Points();
  const deaths = new Deaths();
  const dying = vary(failingKind, (step, index) => {
    const undo: Act = (ctx) => step.undo?.(ctx) ?? Promise.resolve();
    return step.undo === undefined ? {} : { undo: points.at(index, ({ place }) => deaths.in(undo, place), undo) };
  });
  await takeOver(trial, points, deaths, bothPlaces(undosBefore(trial.kind, noReturn)), dying, failingKind, 'failed');
}

/** Tasks whose worker has died, as far as they can tell. */
class Deaths {
  private readonly dead = new Set<string>();

  /** Does its work, says that its time has come, and never answers: what a killed process looks like from outside. */
  in(work: Act, place: Point['place']): Act {
    return async (ctx) => {
      if (place === 'after') await work(ctx);
      this.dead.add(ctx.task.id);
      return new Promise((_resolve, reject) => { ctx.signal.addEventListener('abort', () => { reject(new Error('killed')); }); });
    };
  }

  async all(begun: readonly Begun[], kind: TaskKind): Promise<void> {
    const late = (): Begun[] => begun.filter(({ taskId }) => !this.dead.has(taskId));
    for (const giveUpAt = performance.now() + END_WITHIN_MS; late().length > 0;) {
      if (performance.now() > giveUpAt) throw new Error(`not come to within ${END_WITHIN_MS} ms: ${late().map(({ point }) => `${point.place} ${kind.steps[point.at]?.name ?? point.at}`).join(', ')}`);
      await sleep(5);
    }
  }
}

/**
 * Each undo fails, and past its point of no return each step: the task asks for attention. Retried once that is mended it
 * comes to its end, with everything undone or everything done.
 */
export async function retryWhereverStuck(trial: Trial): Promise<void> {
  const noReturn = pointOfNoReturn(trial.kind);
  const back = new Points();
  const jammed = vary(turningAt(trial.kind, noReturn - 1), (step, index) => {
    const undo: Act = (ctx) => step.undo?.(ctx) ?? Promise.resolve();
    return step.undo === undefined ? {} : { undo: back.at(index, ({ place }) => failsIn(undo, place), undo) };
  });
  await retried(trial, back, bothPlaces(undosBefore(trial.kind, noReturn)), jammed, 'failed');
  const on = new Points();
  await retried(trial, on, bothPlaces(steps(trial.kind).filter((at) => at >= noReturn)), failing(trial.kind, on), 'succeeded');
}

async function retried(trial: Trial, points: Points, wanted: readonly Point[], jammed: TaskKind, expected: TaskState): Promise<void> {
  if (wanted.length === 0) return; // there is nothing to be stuck at
  const first = await trial.open(jammed);
  const begun = await beginAll(trial, first, points, wanted);
  for (const { taskId, point } of begun) assert.equal((await taskEnd(first, taskId)).state, 'needs-attention', `${point.place} ${trial.kind.steps[point.at]?.name ?? point.at}`);
  await first.close();
  const second = await trial.open(trial.kind);
  try {
    for (const { taskId } of begun) await transaction(second.db, (tx) => second.retry(tx, taskId));
    await endAll(trial, second, begun, () => expected);
  } finally {
    await second.close();
  }
}

async function takeOver(trial: Trial, points: Points, deaths: Deaths, wanted: readonly Point[], dying: TaskKind, whole: TaskKind, expected: TaskState): Promise<void> {
  const first = await trial.open(dying);
  const begun = await beginAll(trial, first, points, wanted);
  await deaths.all(begun, trial.kind);
  await first.vanish();
  const second = await trial.open(whole);
  try {
    await endAll(trial, second, begun, () => expected);
  } finally {
    await second.close();
  }
}

/** A cancel within each step: everything is undone; past the point of no return the cancel is refused and the task succeeds. */
export async function cancelAtEveryStep(trial: Trial): Promise<void> {
  const points = new Points();
  const refusals = new Map<string, (string | null)[]>();
  const opened = Promise.withResolvers<TaskEngine>();
  const past = ({ at }: Point): boolean => at >= pointOfNoReturn(trial.kind);
  const engine = await trial.open(vary(trial.kind, (step, index) => ({
    run: points.at(index, () => async (ctx) => {
      const answer = await step.run(ctx);
      refusals.set(ctx.task.id, [...(refusals.get(ctx.task.id) ?? []), await cancelOf(await opened.promise, ctx.task.id)]);
      return answer;
    }, (ctx) => step.run(ctx)),
  })));
  opened.resolve(engine);
  try {
    const begun = await beginAll(trial, engine, points, behind(steps(trial.kind)));
    await endAll(trial, engine, begun, (point) => (past(point) ? 'succeeded' : 'cancelled'));
    for (const { taskId, point } of begun) assert.deepEqual(refusals.get(taskId), [past(point) ? 'TASK_NOT_CANCELLABLE' : null]);
  } finally {
    await engine.close();
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
  { shows: 'comes to its end when what it was stuck at is mended and it is retried', proof: retryWhereverStuck, withinMs: 60_000 },
  { shows: 'can be cancelled at each step before its point of no return', proof: cancelAtEveryStep, withinMs: 60_000 },
] as const;

/** Puts a kind through them one after another. */
export async function putThrough(trial: Trial): Promise<void> {
  for (const { proof } of proofs) await proof(trial);
}
