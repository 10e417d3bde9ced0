// One run of one step, or of its undo, and how it ended. Nothing is recorded here.
import { dbNow } from '#database';
import type { Failed, Fault, Result } from '#kernel';
import { FaultError } from '#kernel';
import { openWorkSpan, traceparentIn, within } from '#telemetry';
import { cancelChild, ChildFailed, gaveUp, hasEnded, lookAtChild, parkOrThrow } from './calls.worker.ts';
import type { Caller } from './calls.worker.ts';
import { outageFault, passesByItself } from './fault.ts';
import type { HeldStep, Holds } from './hold.ts';
import { CancelAsked, ClaimLost, Parked, Stopping } from './interrupt.ts';
import { requestKeyOf } from './keys.ts';
import { ProgressMeter } from './progress.worker.ts';
import { childrenOf } from './rows.ts';
import { StepRun } from './step-context.worker.ts';
import type { StepScene } from './step-context.worker.ts';

export type StepEnd =
  | { readonly is: 'done'; readonly output: unknown }
  | { readonly is: 'parked'; readonly parked: Parked }
  | { readonly is: 'failed'; readonly fault: Fault }
  | { readonly is: 'error'; readonly error: unknown }
  | { readonly is: 'cancelled' | 'lost' | 'stopping' };

/** What a run of a step is made of; its meter and its span belong to the run. */
export type StepToRun = Omit<StepScene, 'meter' | 'traceparent'>;

export const runStep = (work: StepToRun): Promise<StepEnd> => attempt(work, (ctx) => (work.shop.holds === undefined ? work.plan.run(ctx) : runHeld(work, work.shop.holds, ctx)));

async function runHeld(work: StepToRun, holds: Holds, ctx: StepRun): Promise<unknown> {
  const met = heldStep(work);
  await holds.meet(met, 'before');
  met.signal.throwIfAborted();
  const answer = await work.plan.run(ctx);
  if (ctx.parked !== undefined || isFailed(answer)) return answer;
  holds.failIfWanted(met);
  await holds.meet(met, 'after');
  return answer;
}

/** Ends the children of the step's run first: an undo beside a working child would race with it. */
export const runUndo = (work: StepToRun): Promise<StepEnd> =>
  attempt(work, async (ctx) => {
    await endChildren(work, ctx.traceparent);
    return work.shop.holds === undefined ? work.plan.undo?.(ctx) : undoHeld(work, work.shop.holds, ctx);
  });

async function undoHeld(work: StepToRun, holds: Holds, ctx: StepRun): Promise<unknown> {
  const met = heldStep(work);
  await holds.meet(met, 'undo-before');
  met.signal.throwIfAborted();
  const answer = await work.plan.undo?.(ctx);
  if (ctx.parked === undefined && !isFailed(answer)) await holds.meet(met, 'undo-after');
  return answer;
}

const heldStep = ({ row, step, control }: StepToRun): HeldStep => ({ kind: row.kind, taskId: row.id, isChild: row.parent_task_id !== null, step: step.name, signal: control.signal });

async function attempt(work: StepToRun, act: (ctx: StepRun) => Promise<unknown>): Promise<StepEnd> {
  const { control, shop, row, step } = work;
  const meter = new ProgressMeter(shop.book, control.claim, shop.log);
  const span = openWorkSpan(`${row.kind} ${step.name}`, row.traceparent, { 'tok.task.id': row.id, 'tok.step.attempt': step.attempt, 'tok.step.undo': row.direction === 'undo' });
  const ctx = new StepRun({ ...work, meter, traceparent: traceparentIn(span) });
  const end = await within(span, () => outcome(work, ctx, act));
  span.end(end.is === 'failed' ? end.fault : undefined);
  await meter.settled();
  const { interruption } = control;
  if (interruption === 'lost') return { is: 'lost' };
  // What the step could finish counts; the next boundary sees the interruption.
  return end.is === 'done' || interruption === null ? end : { is: interruption };
}

async function outcome(work: StepToRun, ctx: StepRun, act: (ctx: StepRun) => Promise<unknown>): Promise<StepEnd> {
  try {
    const answer = await act(ctx);
    if (ctx.parked !== undefined) return { is: 'parked', parked: ctx.parked };
    if (isFailed(answer)) return await failure(work, answer.fault);
    return { is: 'done', output: outputOf(answer) };
  } catch (error) {
    if (error instanceof Parked) return { is: 'parked', parked: error };
    if (error instanceof ClaimLost) return { is: 'lost' };
    if (error instanceof Stopping) return { is: 'stopping' };
    if (error instanceof CancelAsked) return { is: 'cancelled' };
    if (error instanceof ChildFailed) return { is: 'failed', fault: error.fault };
    const fault = error instanceof FaultError ? error.fault : outageFault(work.shop.book.service, error);
    return fault === undefined ? { is: 'error', error } : failure(work, fault);
  }
}

async function failure(work: StepToRun, fault: Fault): Promise<StepEnd> {
  if (!passesByItself(fault)) return { is: 'failed', fault };
  try {
    return await parkOrThrow(patienceOf(work), fault, null);
  } catch (error) {
    if (error instanceof Parked) return { is: 'parked', parked: error };
    if (error instanceof FaultError) return { is: 'failed', fault };
    throw error; // how long it has been tried could not be read
  }
}

const patienceOf = ({ shop, step, plan }: StepToRun): Pick<Caller, 'failingForMs' | 'retryForMs' | 'parks'> => ({
  parks: step.parks,
  retryForMs: plan.retryForMs ?? shop.settings.retryForMs,
  failingForMs: async () => (step.retry_since === null ? 0 : (await dbNow(shop.book.db)).getTime() - step.retry_since.getTime()),
});

async function endChildren(work: StepToRun, traceparent: string): Promise<void> {
  const { shop, row, step, control } = work;
  const place = { taskId: row.id, rootTaskId: row.root_task_id, seq: step.seq, undo: true };
  const undoKey = requestKeyOf(place);
  const caller: Caller = {
    ...patienceOf(work), bus: shop.bus, place, signal: control.signal, traceparent, childLookMs: shop.settings.childLookMs, hostTryMs: shop.settings.hostTryMs,
    children: {}, noteChild: () => Promise.resolve(), showChild: () => Promise.resolve(),
  };
  // Children of the undo itself must go on.
  const children = Object.entries(childrenOf(step)).filter(([key]) => !key.includes('/undo'));
  for (const [index, [, child]] of children.entries()) {
    const task = await lookAtChild(caller, child);
    if (task === undefined) {
      const arrives = new Date(child.arrivesUntil).getTime() - (await dbNow(shop.book.db)).getTime();
      if (arrives > 0) throw new Parked({ what: 'a task that may still begin', holder: child.taskId, position: null }, Math.min(arrives + 1, 1_000));
      continue;
    }
    if (hasEnded(task)) continue;
    const answer = await cancelChild(caller, child, `${undoKey}/cancel-${index}`);
    if (!answer.ok && gaveUp(answer.fault)) await parkOrThrow(caller, answer.fault, child.service);
    throw new Parked({ what: `the end of the task ${task.kind}`, holder: child.taskId, position: null }, shop.settings.childLookMs);
  }
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;
export const isFailed = (answer: unknown): answer is Failed => isObject(answer) && 'ok' in answer && answer.ok === false && 'fault' in answer;
/** What a step's answer records. */
export const outputOf = (answer: unknown): unknown => (isOk(answer) ? answer.value : answer ?? null);
const isOk = (answer: unknown): answer is Extract<Result<unknown>, { ok: true }> => isObject(answer) && 'ok' in answer && answer.ok === true && 'value' in answer;
