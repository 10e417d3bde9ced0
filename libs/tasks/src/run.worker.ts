// Runs a claimed task from where it stands to its end, or to the place where it parks. Everything it knows comes from
// the rows; everything it decides is recorded before it goes on.
import type { EntityManager } from 'typeorm';
import { fromJson, isOutage, sql, toJson } from '#database';
import type { Fault } from '#kernel';
import { Boundary } from './boundary.ts';
import type { TaskBus } from './calls.worker.ts';
import type { ChildEnds } from './child-ends.ts';
import type { Claim } from './claim.store.ts';
import type { RunControl } from './control.ts';
import { bugFault, pauseMs } from './fault.ts';
import type { Holds } from './hold.ts';
import { CancelAsked, ClaimLost } from './interrupt.ts';
import { hasSteps, turnsBack } from './kind.ts';
import type { TaskKind, TaskLog } from './kind.ts';
import { outcomeOf, outputIn } from './outcome.ts';
import { beginClaimed, recordEnd, recordError, recordFinishError, recordForward, recordHandover, recordPark, recordSlots, recordTurn, recordUndo, recordUnknown } from './record.store.ts';
import type { Before, Book, Ending } from './record.store.ts';
import { taskInfo } from './rows.ts';
import type { StepRow, TaskRow, WaitsForRow } from './rows.ts';
import type { TaskSettings } from './settings.ts';
import { runStep, runUndo } from './step.worker.ts';
import type { StepEnd, StepToRun } from './step.worker.ts';
import { readTasks } from './task-in-hand.store.ts';
import type { TaskInHand } from './task-in-hand.store.ts';

/** What every run works with. */
export interface Workshop {
  readonly book: Book;
  readonly bus: TaskBus;
  readonly settings: TaskSettings;
  readonly log: TaskLog;
  readonly kinds: ReadonlyMap<string, TaskKind>;
  /** Undefined where nobody hears of the end of children. */
  readonly childEnds: ChildEnds | undefined;
  /** Of a test; undefined everywhere else. */
  readonly holds: Holds | undefined;
}

/** After a run: null = the task has ended or belongs to somebody else; a number = it is due again after so many ms. */
export type DueAgain = number | null;

interface Run {
  readonly shop: Workshop;
  readonly control: RunControl;
  readonly claim: Claim;
  readonly kind: TaskKind;
  readonly row: TaskRow;
  readonly steps: StepRow[];
  readonly boundary: Boundary;
  readonly before: Before;
}

const UNKNOWN_KIND_MS = 30_000;

const takesSlots = (kind: TaskKind): boolean => kind.steps.some((step) => step.slots !== undefined);

/** The first move of a claim, made in its transaction. */
export class Opening {
  /** The step that has begun with the claim; undefined where there was none to begin, or a cancel was asked for. */
  begun: number | undefined;

  constructor(private readonly shop: Workshop) {}

  async move(tx: EntityManager, task: TaskInHand): Promise<void> {
    // The transaction may be repeated.
    this.begun = undefined;
    const kind = kindOf(this.shop, task);
    const at = nextStep(task.steps);
    if (kind?.steps[at] === undefined || task.steps[at] === undefined || task.row.direction !== 'forward') return;
    if (await beginClaimed(this.shop.book, tx, task, at)) this.begun = at;
  }
}

const nextStep = (steps: readonly StepRow[]): number => {
  const at = steps.findIndex((step) => step.state !== 'done');
  return at === -1 ? steps.length : at;
};

/** From where a task stands; `begun` = its step of this index has been begun with the claim. */
interface Start {
  readonly task: TaskInHand;
  readonly begun: number | undefined;
  readonly waitedFor: WaitsForRow | null;
}

export async function runClaimed(shop: Workshop, control: RunControl, start: Start): Promise<DueAgain> {
  const { claim } = control;
  try {
    for (let from: Start | undefined = start; from !== undefined; from = await readAgain(shop, claim)) {
      const { row, steps } = from.task;
      const kind = kindOf(shop, from.task);
      const before: Before = { wakes: row.wake_count, waitedFor: from.waitedFor };
      if (kind === undefined) return await leave(shop, claim, row, before);
      const run: Run = { shop, control, claim, kind, row, steps, boundary: new Boundary(from.begun), before };
      const next = row.direction === 'forward' ? await forward(run) : await backward(run);
      if (next !== 'turned') return next;
    }
    return null;
  } catch (error) {
    if (error instanceof ClaimLost) return null;
    throw error;
  }
}

async function readAgain({ book }: Workshop, claim: Claim): Promise<Start | undefined> {
  const [task] = await readTasks(book.db, sql`t.id = ${claim.taskId} AND t.run_epoch = ${claim.epoch}`);
  return task === undefined ? undefined : { task, begun: undefined, waitedFor: null };
}

function kindOf({ kinds }: Workshop, { row, steps }: TaskInHand): TaskKind | undefined {
  const kind = kinds.get(row.kind);
  return kind !== undefined && hasSteps(kind, steps) ? kind : undefined;
}

/** A kind, or steps of one, that only another version of this service knows. */
async function leave(shop: Workshop, claim: Claim, row: TaskRow, before: Before): Promise<DueAgain> {
  shop.log.error({ taskId: row.id, kind: row.kind }, 'nobody here knows this kind of task with these steps; left for another replica');
  return recordUnknown(shop.book, claim, UNKNOWN_KIND_MS, before);
}

async function forward(run: Run): Promise<DueAgain | 'turned'> {
  const { kind, boundary } = run;
  if (boundary.begun === undefined && run.row.cancel_requested_at !== null) return turn(run, null, null);
  for (let at = boundary.begun ?? nextStep(run.steps); ; at++) {
    const plan = kind.steps[at];
    const step = run.steps[at];
    if (plan === undefined || step === undefined) break;
    boundary.enter(at);
    const now: StepRow = boundary.begun === at ? step : { ...step, state: 'running', attempt: step.attempt + 1 };
    const work = { ...run, step: now, plan };
    const halt = await ahead(work);
    if (halt !== undefined) return halt;
    const end = await runStep(work);
    if (end.is !== 'done') return unfinished(run, now, end, (fault) => (turnsBack(kind, at, fault) ? turn(run, fault, at) : stuck(run, at, fault)));
    run.steps[at] = { ...now, state: 'done', output: toJson(end.output) };
    boundary.finish({ seq: at, output: end.output, hasSlots: plan.slots !== undefined });
  }
  return finish(run, { state: 'succeeded', output: fromJson(run.steps.at(-1)?.output) });
}

/**
 * What comes before the first line of some steps: one behind which nobody may cancel is put on record, and one that takes
 * slots takes them. Undefined = the step may run.
 */
async function ahead(work: StepToRun & Run): Promise<DueAgain | 'turned' | undefined> {
  const { shop: { book, settings }, claim, boundary, plan, step, before } = work;
  try {
    const slots = plan.slots?.({ task: taskInfo(work.row), input: fromJson(work.row.input), output: <T>(name: string) => outputIn<T>(work.steps, name) as T }) ?? [];
    if (slots.length > 0) {
      const due = await recordSlots(book, claim, boundary.open, { seq: step.seq, slots, limits: settings.slots }, before);
      boundary.close();
      return due;
    }
    if (plan.noReturn !== true || boundary.open === undefined) return undefined;
    await recordForward(book, claim, boundary.open, () => undefined);
    boundary.close();
    return undefined;
  } catch (error) {
    if (error instanceof CancelAsked) return turn(work, null, null);
    throw error;
  }
}

async function turn(run: Run, fault: Fault | null, seq: number | null): Promise<DueAgain | 'turned'> {
  await recordTurn(run.shop.book, run.claim, run.boundary.open, { fault, seq, hasSlots: takesSlots(run.kind) });
  return 'turned';
}

const untouched: ReadonlySet<StepRow['state']> = new Set(['pending', 'skipped', 'undone']);

async function backward(run: Run): Promise<DueAgain | 'turned'> {
  const { shop, control, claim, kind, row } = run;
  control.turnBack();
  let undone: number | undefined;
  for (let at = run.steps.length - 1; at >= 0; at--) {
    const plan = kind.steps[at];
    const step = run.steps[at];
    if (plan === undefined || step === undefined || untouched.has(step.state)) continue;
    await recordUndo(shop.book, claim, { undone, begin: at });
    const begun: StepRow = { ...step, attempt: step.attempt + 1 };
    const end = await runUndo({ ...run, step: begun, plan });
    if (end.is !== 'done') return unfinished(run, begun, end, (fault) => stuck(run, at, fault));
    undone = at;
  }
  if (undone !== undefined) await recordUndo(shop.book, claim, { undone });
  return finish(run, { state: row.error === null ? 'cancelled' : 'failed' });
}

const stuck = (run: Run, seq: number, fault: Fault): Promise<DueAgain | 'turned'> => finish(run, { state: 'needs-attention', stuck: { seq, fault } });

/** What to do after a step that did not get through; `failed` says where a failure leads. */
async function unfinished(run: Run, step: StepRow, end: Exclude<StepEnd, { is: 'done' }>, failed: (fault: Fault) => Promise<DueAgain | 'turned'>): Promise<DueAgain | 'turned'> {
  const { shop, claim, row, boundary, before } = run;
  switch (end.is) {
    case 'parked': return recordPark(shop.book, claim, boundary.open, step.seq, end.parked, before);
    case 'failed': return failed(end.fault);
    case 'cancelled': return turn(run, null, null);
    case 'lost': return null;
    case 'stopping': return recordHandover(shop.book, claim, boundary.open);
    case 'error': {
      const fault = bugFault(end.error);
      shop.log.error({ err: end.error, taskId: row.id, kind: row.kind, step: step.name, errors: step.errors + 1 }, 'a step threw what nobody expected');
      if (step.errors + 1 >= shop.settings.mostErrors) return failed(fault);
      return recordError(shop.book, claim, boundary.open, step.seq, fault, pauseMs(step.errors), before);
    }
  }
}

async function finish(run: Run, how: Omit<Ending, 'hasSlots'>): Promise<DueAgain | 'turned'> {
  const { shop, claim, row } = run;
  const ending: Ending = { ...how, hasSlots: takesSlots(run.kind) };
  try {
    const ended = await recordEnd(shop.book, claim, run.boundary.open, row, ending, (tx) => run.kind.onFinished?.(tx, outcomeOf(run, ending)) ?? Promise.resolve());
    return ended ? null : await turn(run, null, null);
  } catch (error) {
    if (error instanceof ClaimLost || isOutage(error)) throw error;
    shop.log.error({ err: error, taskId: row.id, kind: row.kind }, 'the end of a task could not be recorded');
    if (row.finish_errors + 1 < shop.settings.mostErrors) return recordFinishError(shop.book, claim, pauseMs(row.finish_errors), run.before);
    const last = run.steps.length - 1;
    // The kind's own work at the end does not succeed: end without it, visibly.
    await recordEnd(shop.book, claim, run.boundary.open, row, { ...ending, state: 'needs-attention', stuck: { seq: last, fault: bugFault(error) } }, (_tx: EntityManager) => Promise.resolve());
    return null;
  }
}
