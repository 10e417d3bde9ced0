// What the proofs of a kind of task are made of: the world that it works on, variants of it to which something happens at one
// step, and tasks that all come to their points at once in one engine.
import assert from 'node:assert/strict';
import type { Task, TaskState } from '#contracts';
import { endStates, Internal } from '#contracts';
import { transaction } from '#database';
import { FaultError, sleep } from '#kernel';
import type { Step, StepContext, TaskKind } from '../kind.ts';
import type { TaskSettings } from '../settings.ts';
import type { TaskEngine } from '../task.engine.ts';

/** The world that a kind works on. */
export interface Trial {
  readonly kind: TaskKind;
  /** An open engine on the trial's schema that knows `kind` (a variant of the trial's), with short claims, and room for four tasks per step at once. */
  open(kind: TaskKind, over?: Pick<TaskSettings, 'slots'>): Promise<TaskEngine>;
  /** Begins one task that would succeed; another object each time. */
  begin(engine: TaskEngine): Promise<string>;
  /** Throws unless the world is as it must be after this end: all there, or nothing left behind. */
  check(task: Task): Promise<void>;
  /** The host that its steps command; left out = they command none. */
  readonly host?: MortalHost;
}

/** `intent` = before the effect; `effect` = behind it, and the agent finds it there when it is back. */
export type Death = 'intent' | 'effect';

/** A host whose agent can be made to die at each command that it has not seen, once: the next time it is asked, it has come back. */
export interface MortalHost {
  /** How it dies at a command; null = it does not. */
  dies: ((commandId: string) => Death | null) | null;
  /** Ids of the commands at which it has died. */
  readonly diedAt: Set<string>;
}

export const END_WITHIN_MS = 60_000;

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

export type Act = (ctx: StepContext<unknown>) => Promise<unknown>;
export type Variant = (step: Step<unknown>, index: number) => { readonly run?: Act; readonly undo?: Act; readonly slots?: NonNullable<Step<unknown>['slots']> };

/** The kind with other `run`s, `undo`s or slots at some steps. */
export function vary(kind: TaskKind, variant: Variant): TaskKind {
  return { ...kind, steps: kind.steps.map((step, index) => ({ ...step, ...bound(step), ...variant(step, index) })) };
}

const bound = (step: Step<unknown>): { readonly run: Act; readonly undo?: Act } =>
  ({ run: (ctx) => step.run(ctx), ...(step.undo === undefined ? {} : { undo: (ctx: StepContext<unknown>) => step.undo?.(ctx) ?? Promise.resolve() }) });

export const injected = (): FaultError => new FaultError(Internal.fault('an injected failure'));

/** Where something happens to a task: at the step of this index, before its work or behind it. */
export interface Point {
  readonly at: number;
  readonly place: 'before' | 'after';
  /** Of its worker, where that is stopped there. */
  readonly fate?: 'killed' | 'thawed';
}

export const steps = (kind: TaskKind): number[] => [...kind.steps.keys()];
export const bothPlaces = (indexes: readonly number[]): Point[] => indexes.flatMap((at) => [{ at, place: 'before' as const }, { at, place: 'after' as const }]);
export const behind = (indexes: readonly number[]): Point[] => indexes.map((at) => ({ at, place: 'after' }));

/** Which task has which point. All tasks of a proof run at once in one engine; one may be at work before its id is known here, and waits. */
export class Points {
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

export interface Begun {
  readonly taskId: string;
  readonly point: Point;
}

/** Begins one task per point, one after another. */
export async function beginAll(trial: Trial, engine: TaskEngine, points: Points, wanted: readonly Point[]): Promise<Begun[]> {
  const begun: Begun[] = [];
  for (const point of wanted) {
    const taskId = await trial.begin(engine);
    points.tell(taskId, point);
    begun.push({ taskId, point });
  }
  return begun;
}

/** Each task must come to its end, and once all have, the world must be as it must be then. */
export async function endAll(trial: Trial, engine: TaskEngine, begun: readonly Begun[], expected: (point: Point) => TaskState): Promise<void> {
  const ended = await Promise.all(begun.map(async ({ taskId, point }) => ({ task: await taskEnd(engine, taskId), point })));
  for (const { task, point } of ended) {
    const where = `${point.place} ${trial.kind.steps[point.at]?.name ?? point.at}`;
    assert.equal(task.state, expected(point), `${where}: ended ${task.state}, not ${expected(point)}: ${JSON.stringify(task)}`);
    await trial.check(task).catch((error: unknown) => { throw new Error(`${where}: ${error instanceof Error ? error.message : String(error)}`, { cause: error }); });
  }
}

export async function runToEnd(trial: Trial, points: Points, wanted: readonly Point[], kind: TaskKind, expected: (point: Point) => TaskState): Promise<void> {
  const engine = await trial.open(kind);
  try {
    await endAll(trial, engine, await beginAll(trial, engine, points, wanted), expected);
  } finally {
    await engine.close();
  }
}

export const failsIn = (work: Act, place: Point['place']): Act => async (ctx) => {
  if (place === 'after') await work(ctx);
  throw injected();
};

/** Every task of it turns back behind the work of this step, the last from which it can. */
export const turningAt = (kind: TaskKind, last: number): TaskKind => vary(kind, (step, index) => (index === Math.min(kind.steps.length - 1, last) ? { run: failsIn(step.run.bind(step), 'after') } : {}));

export const undosBefore = (kind: TaskKind, noReturn: number): number[] => steps(kind).filter((at) => at < noReturn && kind.steps[at]?.undo !== undefined);

/** The code with which a cancel is refused; null when it is accepted. */
export async function cancelOf(engine: TaskEngine, taskId: string): Promise<string | null> {
  try {
    await transaction(engine.db, (tx) => engine.cancel(tx, taskId));
    return null;
  } catch (error) {
    if (error instanceof FaultError) return error.fault.code;
    throw error;
  }
}
