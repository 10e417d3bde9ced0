// What a parent shows of its children: as they last told, and summed up to the parent's own progress. Pure.
import type { Task, TaskChild } from '#contracts';
import type { ProgressView } from './progress.worker.ts';
import type { ChildRecord } from './rows.ts';

/** A child as its parent keeps it: what its last event said. */
export interface ChildSeen extends Omit<TaskChild, 'taskId' | 'service'> {
  readonly version: number;
}

const atWork: ReadonlySet<string> = new Set(['running', 'undoing']);

/** The last progress of a child that has ended well is all of it. */
export function seenOf(task: Task, before: ChildSeen | undefined): ChildSeen {
  const step = task.steps.find(({ state }) => atWork.has(state))?.name ?? null;
  const last = before?.progress ?? null;
  const progress = task.progress ?? (task.state === 'succeeded' && last !== null ? { ...last, done: last.total, remainingMs: 0 } : null);
  return { kind: task.kind, object: task.object, state: task.state, step, progress, waitsFor: task.waitsFor, version: task.version };
}

export function childView({ service, taskId, seen }: ChildRecord, stepIsDone: boolean): TaskChild {
  if (seen === undefined) return { taskId: taskId as TaskChild['taskId'], service, kind: null, object: null, state: stepIsDone ? 'succeeded' : 'queued', step: null, progress: null, waitsFor: null };
  const { version: _version, ...told } = seen;
  // The parent goes on only behind a child that has succeeded; that event may have been lost.
  const ended = stepIsDone ? { state: 'succeeded' as const, step: null, waitsFor: null, progress: told.progress === null ? null : { ...told.progress, done: told.progress.total, remainingMs: 0 } } : {};
  return { taskId: taskId as TaskChild['taskId'], service, ...told, ...ended };
}

/** Children that work side by side, as one: all that they do, as fast as they do it together, until the slowest is done. */
export function sumOf(children: readonly TaskChild[]): ProgressView | null {
  const told = children.flatMap(({ progress }) => progress ?? []);
  const [first] = told;
  if (first === undefined || told.some(({ unit }) => unit !== first.unit)) return null;
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const open = told.filter(({ done, total }) => done < total);
  const rates = open.map(({ ratePerSecond }) => ratePerSecond).filter((rate) => rate !== null);
  const left = open.map(({ remainingMs }) => remainingMs).filter((ms) => ms !== null);
  return {
    done: sum(told.map(({ done }) => done)), total: sum(told.map(({ total }) => total)), unit: first.unit,
    ratePerSecond: rates.length === 0 ? null : sum(rates), remainingMs: left.length < open.length || open.length === 0 ? null : Math.max(...left),
  };
}

/** Whom the parent waits for in the end: the child, or what that one waits for. */
export function blockerOf(waitsFor: Task['waitsFor'], children: readonly TaskChild[]): Task['waitsFor'] {
  const child = children.find(({ taskId }) => taskId === waitsFor?.holder);
  const inner = child?.waitsFor ?? null;
  if (waitsFor === null || inner === null) return waitsFor;
  return { ...waitsFor, what: `${waitsFor.what}, which waits for ${inner.what}`, holder: inner.holder ?? waitsFor.holder, position: inner.position };
}
