// What every kind of task must survive, as functions that any kind can be put through: each step twice, a failure at each
// step, a worker that dies at each step, each undo twice, a cancel at each step, an undo that is stuck. They throw when the kind does not. A proof
// puts one task through each of its points, all of them at once: what a dead worker's claim costs in time is waited for once.
import assert from 'node:assert/strict';
import type { TaskState } from '#contracts';
import { transaction } from '#database';
import { sleep } from '#kernel';
import { pointOfNoReturn } from '../kind.ts';
import type { TaskKind } from '../kind.ts';
import type { TaskEngine } from '../task.engine.ts';
import { beginAll, behind, bothPlaces, cancelOf, endAll, END_WITHIN_MS, failsIn, Points, runToEnd, steps, taskEnd, turningAt, undosBefore, vary } from './trial.ts';
import type { Act, Begun, Point, Trial } from './trial.ts';
import { cancelInEveryWaitNoted } from './cancel-waits.ts';
import { agentDiesAtEveryCommand } from './dying-agent.ts';
import { noteProof } from './proof-note.ts';
import type { Fault } from './proof-note.ts';
import { outliveAtEveryStep, outliveAtEveryUndo } from './outlive.ts';

export { cancelInEveryWait } from './cancel-waits.ts';
export { taskEnd } from './trial.ts';
export type { MortalHost, Trial } from './trial.ts';

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

const failing = (kind: TaskKind, points: Points): TaskKind => vary(kind, (step, index) => ({ run: points.at(index, ({ place }) => failsIn(step.run.bind(step), place), (ctx) => step.run(ctx)) }));

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

export interface Proof {
  /** What it shows of a kind; titles of tests read so. */
  readonly shows: string;
  /** The columns of the fault matrix. */
  readonly faults: readonly Fault[];
  /** Answers the steps that the fault has met, one for each time, where the kind's table does not say. */
  readonly proof: (trial: Trial) => Promise<readonly string[] | undefined>;
  /** Steps that the fault meets, once for each time. */
  readonly cells: (kind: TaskKind) => readonly number[];
  /** Time that it is given for a kind of some ten steps, ms. */
  readonly withinMs: number;
}

const twice = (indexes: readonly number[]): number[] => indexes.flatMap((at) => [at, at]);
const undos = (kind: TaskKind): number[] => undosBefore(kind, pointOfNoReturn(kind));
const stuckAt = (kind: TaskKind): number[] => [...undos(kind), ...steps(kind).filter((at) => at >= pointOfNoReturn(kind))];

const table: readonly Proof[] = [
  { shows: 'survives each step twice', faults: ['step twice'], proof: told(everyStepTwice), cells: steps, withinMs: 60_000 },
  { shows: 'leaves nothing behind after a failure at each step', faults: ['step fails'], proof: told(failureAtEveryStep), cells: (kind) => twice(steps(kind)), withinMs: 60_000 },
  { shows: 'undoes twice what it undoes', faults: ['undo twice'], proof: told(undoTwice), cells: undos, withinMs: 60_000 },
  { shows: 'goes on when its worker dies at each step, or is stopped there past its claim and thawed', faults: ['worker killed', 'worker thawed'], proof: told(outliveAtEveryStep), cells: (kind) => twice(steps(kind)), withinMs: 150_000 },
  { shows: 'undoes on when its worker dies in each undo, or is stopped there past its claim and thawed', faults: ['worker killed in the undo', 'worker thawed in the undo'], proof: told(outliveAtEveryUndo), cells: (kind) => twice(undos(kind)), withinMs: 150_000 },
  { shows: 'goes on when the agent dies at each command to a host, before its effect and behind it', faults: ['agent killed'], proof: agentDiesAtEveryCommand, cells: () => [], withinMs: 150_000 },
  { shows: 'comes to its end when what it was stuck at is mended and it is retried', faults: ['stuck, retried'], proof: told(retryWhereverStuck), cells: (kind) => twice(stuckAt(kind)), withinMs: 60_000 },
  { shows: 'can be cancelled at each step before its point of no return', faults: ['cancelled'], proof: told(cancelAtEveryStep), cells: steps, withinMs: 60_000 },
  { shows: 'can be cancelled whatever it waits for, or says that it cannot', faults: [], proof: told(cancelInEveryWaitNoted), cells: () => [], withinMs: 150_000 },
];

/** All of the above; what each comes to is noted where the run wants it. */
export const proofs: readonly { readonly shows: string; readonly withinMs: number; readonly proof: (trial: Trial) => Promise<void> }[] = table.map(({ shows, faults, proof, cells, withinMs }) => ({
  shows, withinMs,
  proof: async (trial) => {
    const names = (indexes: readonly number[]): string[] => indexes.map((at) => trial.kind.steps[at]?.name ?? String(at));
    const note = (met: readonly string[], state: 'passed' | 'failed'): void => { for (const fault of faults) noteProof({ kind: trial.kind, fault, cells: met, state }); };
    try {
      note((await proof(trial)) ?? names(cells(trial.kind)), 'passed');
    } catch (error) {
      note(names(cells(trial.kind)), 'failed');
      throw error;
    }
  },
}));

function told(proof: (trial: Trial) => Promise<void>): Proof['proof'] {
  return async (trial) => {
    await proof(trial);
    return undefined;
  };
}

/** Puts a kind through them one after another. */
export async function putThrough(trial: Trial): Promise<void> {
  for (const { proof } of proofs) await proof(trial);
}
