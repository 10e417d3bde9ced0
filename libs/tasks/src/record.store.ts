// What a worker writes about a task it holds: each function is one fenced transaction that moves the task one place on
// and tells everybody. If the process dies before, the step is repeated; if it dies after, the next worker goes on behind.
import type { DataSource, EntityManager } from 'typeorm';
import type { z } from 'zod';
import type { ErrorBody, TaskProgress, TaskService, TaskState } from '#contracts';
import { afterCommit, fromJson, toJson, transaction } from '#database';
import type { Fault } from '#kernel';
import type { Advance } from './boundary.ts';
import { later, takeClaimed } from './claim.store.ts';
import type { Claim } from './claim.store.ts';
import { isAtWork, wireFault } from './fault.ts';
import { CancelAsked, Parked } from './interrupt.ts';
import type { ObjectRef } from './kind.ts';
import { releaseLocks } from './lock.store.ts';
import { releaseSlots, takeSlots } from './slot.store.ts';
import type { Granted } from './slot.store.ts';
import type { Slot, SlotLimits } from './slot.ts';
import type { TaskInHand } from './task-in-hand.store.ts';
import { tellTask } from './task.store.ts';
import { childrenOf } from './rows.ts';
import type { ChildRecord, StepStateName, TaskRow, WaitsForRow } from './rows.ts';

export interface Book {
  readonly db: DataSource;
  readonly service: TaskService;
  /** Wakes tasks that have got what they were waiting for. */
  readonly wake: (taskIds: Granted) => void;
}

/** Has `work` change the task under its claim, writes it with the next version, and tells everybody. */
const change = <T>(book: Book, claim: Claim, work: (task: TaskInHand, tx: EntityManager) => T | Promise<T>): Promise<T> =>
  transaction(book.db, async (tx) => {
    const task = await takeClaimed(tx, claim);
    const value = await work(task, tx);
    await tellTask(tx, book.service, task);
    return value;
  });

export interface StepDone {
  readonly seq: number;
  readonly output: unknown;
  /** It may hold slots, which come free with its record. */
  readonly hasSlots: boolean;
}

/** How a run's way forward is put on record. */
type Forward = Advance | undefined;

/**
 * Puts a boundary on record and does `work` in its transaction. Throws CancelAsked when a cancel was asked for before: the
 * step has not begun then. Cancel and beginning lock the same row, so a step of no return never begins behind a cancel that was accepted.
 */
export const recordForward = <T>(book: Book, claim: Claim, advance: Advance, work: (tx: EntityManager, task: TaskInHand) => Promise<T> | T): Promise<T> =>
  change(book, claim, async (task, tx) => {
    if (task.row.cancel_requested_at !== null) throw new CancelAsked();
    await goForward(book, tx, task, advance);
    return work(tx, task);
  });

/** Begins a step of a task that is just being claimed, in the transaction of the claim. False: a cancel was asked for before. */
export async function beginClaimed(book: Book, tx: EntityManager, task: TaskInHand, seq: number): Promise<boolean> {
  if (task.row.cancel_requested_at !== null) return false;
  await goForward(book, tx, task, { done: [], begin: seq });
  await tellTask(tx, book.service, task);
  return true;
}

async function goForward(book: Book, tx: EntityManager, task: TaskInHand, advance: Forward): Promise<void> {
  await finishSteps(book, tx, task, advance);
  if (advance?.begin === undefined) return;
  task.set({ state: 'running', progress: null, waits_for: null, started_at: task.row.started_at ?? task.now });
  beginStep(task, advance.begin, 'running');
}

/** One who waits for a slot is woken when it has it; this is for a wake that was lost. */
const SLOT_LOOK_MS = 5_000;

/**
 * Begins a step and takes its slots: undefined = it has them; else the task is parked, and due again after so many ms. A cancel
 * that was asked for before is thrown.
 */
export const recordSlots = (book: Book, claim: Claim, forward: Forward, wanted: { readonly seq: number; readonly slots: readonly Slot[]; readonly limits: SlotLimits }, before: Before): Promise<number | undefined> =>
  change(book, claim, async (task, tx) => {
    if (task.row.cancel_requested_at !== null) throw new CancelAsked();
    await goForward(book, tx, task, forward);
    const { blocker, granted } = await takeSlots(tx, task.row, wanted.seq, wanted.slots, wanted.limits);
    afterCommit(tx, () => { book.wake(granted); });
    return blocker === undefined ? undefined : park(task, wanted.seq, new Parked(blocker, SLOT_LOOK_MS), before);
  });

/** What the task holds is free with the transaction, and those who waited for it are woken. */
async function giveBack(book: Pick<Book, 'wake'>, tx: EntityManager, taskId: string): Promise<void> {
  const granted = await releaseSlots(tx, taskId);
  afterCommit(tx, () => { book.wake(granted); });
}

/** Turns the task round: the steps that never began are skipped, the others will be undone. */
export const recordTurn = (book: Book, claim: Claim, forward: Forward, why: { readonly fault: Fault | null; readonly seq: number | null; readonly hasSlots: boolean }): Promise<void> =>
  change(book, claim, async (task, tx) => {
    const { fault, seq, hasSlots } = why;
    if (hasSlots) await giveBack(book, tx, task.row.id);
    if (fault === null) await finishSteps(book, tx, task, forward);
    else await goForward(book, tx, task, forward);
    if (fault !== null && seq !== null) failStep(task, seq, 'failed', fault);
    for (const step of task.steps) {
      if (step.state === 'pending') task.setStep(step.seq, { state: 'skipped' });
      else if (step.state !== 'skipped') task.setStep(step.seq, { attempt: 0, errors: 0, parks: 0, retry_since: null });
    }
    const state: TaskState = fault === null ? 'cancelling' : 'undoing';
    task.set({ direction: 'undo', state, progress: null, waits_for: null, error: fault === null ? null : toJson(wire(task, fault)) });
  });

export const recordUndo = (book: Book, claim: Claim, advance: { readonly undone?: number | undefined; readonly begin?: number | undefined }): Promise<void> =>
  change(book, claim, (task) => {
    if (advance.undone !== undefined) task.setStep(advance.undone, { state: 'undone', ended_at: task.now });
    if (advance.begin !== undefined) beginStep(task, advance.begin, 'undoing');
    task.set({ state: task.row.error === null ? 'cancelling' : 'undoing', waits_for: null });
  });

async function finishSteps(book: Book, tx: EntityManager, task: TaskInHand, forward: Forward): Promise<void> {
  const done = forward?.done ?? [];
  if (done.some(({ hasSlots }) => hasSlots)) await giveBack(book, tx, task.row.id);
  for (const { seq, output } of done) {
    if (task.step(seq).state === 'pending') beginStep(task, seq, 'running');
    task.setStep(seq, { state: 'done', output: toJson(output), error: null, ended_at: task.now });
  }
}

function beginStep(task: TaskInHand, seq: number, state: StepStateName): void {
  const step = task.step(seq);
  task.setStep(seq, { state, attempt: step.attempt + 1, started_at: step.started_at ?? task.now });
}

/** How the task stood when this run of it began. */
export interface Before {
  readonly wakes: number;
  /** What it waited for until then. */
  readonly waitedFor: WaitsForRow | null;
}

/** Gives up claim and worker until `parked.afterMs` have passed; a wake that came meanwhile makes it due at once. */
export const recordPark = (book: Book, claim: Claim, forward: Forward, seq: number, parked: Parked, before: Before): Promise<number> =>
  change(book, claim, async (task, tx) => {
    await goForward(book, tx, task, forward);
    return park(task, seq, parked, before);
  });

function park(task: TaskInHand, seq: number, { because, waitsFor, afterMs }: Parked, before: Before): number {
  const step = task.step(seq);
  const since = step.parks > 0 ? sinceOf(task, waitsFor.what, before) : task.now.toISOString();
  task.setStep(seq, {
    parks: step.parks + 1, retry_since: because === undefined || isAtWork(because) ? null : step.retry_since ?? task.now,
    ...(because === undefined ? {} : { error: toJson(wire(task, because)) }),
  });
  task.set({ waits_for: toJson({ ...waitsFor, since }), ...(task.row.direction === 'forward' ? { state: 'waiting' } : {}) });
  return letGo(task, afterMs, before.wakes);
}

/** A bug in a step's code: counted, tried again later. */
export const recordError = (book: Book, claim: Claim, forward: Forward, seq: number, fault: Fault, afterMs: number, before: Before): Promise<number> =>
  change(book, claim, async (task, tx) => {
    await goForward(book, tx, task, forward);
    task.setStep(seq, { error: toJson(wire(task, fault)), errors: task.step(seq).errors + 1 });
    sayWait(task, `the next try, after an error that nobody expected in the step ${task.step(seq).name}`, before);
    return letGo(task, afterMs, before.wakes);
  });

export const recordProgress = (book: Book, claim: Claim, view: z.infer<typeof TaskProgress>): Promise<void> =>
  change(book, claim, (task) => { task.set({ progress: toJson(view) }); });

/** Changes the task under its claim without a word to anybody. */
const quietly = <T>(book: Book, claim: Claim, work: (task: TaskInHand, tx: EntityManager) => Promise<T> | T): Promise<T> =>
  transaction(book.db, async (tx) => {
    const task = await takeClaimed(tx, claim);
    const value = await work(task, tx);
    await task.write(tx);
    return value;
  });

/** Lets go of the task without a word about its step, which will be repeated at once. */
export const recordHandover = (book: Book, claim: Claim, forward: Forward): Promise<number> =>
  quietly(book, claim, async (task, tx) => {
    await finishSteps(book, tx, task, forward);
    return letGo(task, 0, -1);
  });

/** Leaves a task to those who know its kind and its steps. */
export const recordUnknown = (book: Book, claim: Claim, afterMs: number, before: Before): Promise<number> =>
  quietly(book, claim, (task) => {
    sayWait(task, `a replica of ${book.service} that knows the task ${task.row.kind} with the steps it has`, before);
    return letGo(task, afterMs, before.wakes);
  });

/** What it waits for without a park of its step. */
function sayWait(task: TaskInHand, what: string, before: Before): void {
  task.set({ waits_for: toJson({ what, holder: null, position: null, since: sinceOf(task, what, before) }) });
}

/** One that waits again and again for the same thing has been waiting for it since the first time. */
const sinceOf = (task: TaskInHand, what: string, { waitedFor }: Before): string => (waitedFor?.what === what ? waitedFor.since : task.now.toISOString());

/** Answers after how long the task is due: at once when somebody woke it since `seenWakes` was read. */
function letGo(task: TaskInHand, afterMs: number, seenWakes: number): number {
  const { wake_count: wakes } = task.row;
  const dueMs = wakes === seenWakes ? Math.round(afterMs) : 0;
  task.set({ claimed_by: null, claim_until: null, wake_count: wakes + 1, wake_at: later(task.now, dueMs) });
  return dueMs;
}

/** A call for a child that is about to be made: after a crash its parent knows whom to look for. */
export interface ChildNote {
  readonly seq: number;
  readonly key: string;
  readonly child: Omit<ChildRecord, 'arrivesUntil'>;
  /** How long the request may be on its way. */
  readonly onItsWayMs: number;
}

export const recordChild = (book: Book, claim: Claim, note: ChildNote): Promise<unknown> => quietly(book, claim, (task) => noteChild(task, note));

/** Answers all calls that the step knows then, as its row holds them. */
export function noteChild(task: TaskInHand, { seq, key, child, onItsWayMs }: ChildNote): unknown {
  const calls = childrenOf(task.step(seq));
  const before = calls[key];
  const seen = before?.taskId === child.taskId && before.seen !== undefined ? { seen: before.seen } : {};
  task.setStep(seq, { calls: toJson({ ...calls, [key]: { ...child, arrivesUntil: later(task.now, onItsWayMs).toISOString(), ...seen } }) });
  return task.step(seq).calls;
}

export interface Ending {
  readonly state: Extract<TaskState, 'succeeded' | 'failed' | 'cancelled' | 'needs-attention'>;
  readonly output?: unknown;
  /** Why it needs attention, and at which step. */
  readonly stuck?: { readonly seq: number; readonly fault: Fault } | undefined;
  /** Whether a step of it may hold slots. */
  readonly hasSlots: boolean;
}

/**
 * Ends the task: locks, outcome, the kind's own work and the event, all or nothing. False: a cancel was accepted before
 * the success could be recorded, and the task has not ended.
 */
export const recordEnd = (book: Book, claim: Claim, forward: Forward, row: TaskRow, ending: Ending, onFinished: (tx: EntityManager) => Promise<void>): Promise<boolean> =>
  change(book, claim, async (task, tx) => {
    const { stuck } = ending;
    await goForward(book, tx, task, forward);
    if (ending.state === 'succeeded' && task.row.cancel_requested_at !== null) return false;
    if (stuck !== undefined) {
      failStep(task, stuck.seq, row.direction === 'undo' ? 'undo-failed' : 'failed', stuck.fault);
      task.set({ error: toJson(wire(task, stuck.fault)) });
    }
    await endInHand(book, tx, task, ending, () => onFinished(tx));
    return true;
  });

/** The kind's own work at the end, and nothing held any more. */
export async function endInHand(book: Pick<Book, 'wake'>, tx: EntityManager, task: TaskInHand, ending: Pick<Ending, 'state' | 'output' | 'hasSlots'>, onFinished: () => Promise<void>): Promise<void> {
  const { row } = task;
  await onFinished();
  if (ending.hasSlots) await giveBack(book, tx, row.id);
  await releaseLocks(tx, { taskId: row.id, rootTaskId: row.root_task_id }, fromJson<ObjectRef[]>(row.locks));
  task.set({ state: ending.state, output: toJson(ending.output), progress: null, waits_for: null, claimed_by: null, claim_until: null, wake_at: null, ended_at: task.now });
}

export const recordFinishError = (book: Book, claim: Claim, afterMs: number, before: Before): Promise<number> =>
  quietly(book, claim, (task) => {
    task.set({ finish_errors: task.row.finish_errors + 1 });
    sayWait(task, 'the next try to record its end, after an error that nobody expected', before);
    return letGo(task, afterMs, before.wakes);
  });

function failStep(task: TaskInHand, seq: number, state: StepStateName, fault: Fault): void {
  task.setStep(seq, { state, error: toJson(wire(task, fault)), ended_at: task.now });
}

const wire = (task: TaskInHand, fault: Fault): ErrorBody => wireFault(fault, task.row.trace_id);
