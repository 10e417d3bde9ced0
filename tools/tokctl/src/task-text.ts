// How a task reads: one line for a log, one for a progress bar, and its end.
import { endStates } from '#contracts';
import type { Task } from '#contracts';
import { sizeText } from '#kernel';
import { nextStepFor } from './failures.ts';
import { durationText } from './quantities.ts';
import { cut, visible, width } from './visible.ts';

export const hasEnded = ({ state }: Task): boolean => endStates.includes(state);

const amount = (value: number, unit: 'bytes' | 'steps'): string => (unit === 'bytes' ? sizeText(value) : String(value));

/** `37% 1.2 GiB of 3.2 GiB, 210 MiB/s, 10s left`, or '' when nothing is known. */
export function progressText({ progress }: Pick<Task, 'progress'>): string {
  if (progress === null || progress.total <= 0) return '';
  const { done, total, unit, ratePerSecond, remainingMs } = progress;
  return [
    `${Math.floor((100 * done) / total)}% ${amount(done, unit)} of ${amount(total, unit)}`,
    ...(ratePerSecond !== null && unit === 'bytes' ? [`${sizeText(ratePerSecond)}/s`] : []),
    ...(remainingMs !== null ? [`${durationText(remainingMs)} left`] : []),
  ].join(', ');
}

/** The step it is at, or what it waits for. */
export function doingText({ state, steps, waitsFor }: Task): string {
  if (waitsFor !== null) return `waits for ${waitsFor.what}${waitsFor.holder === null ? '' : `, held by ${waitsFor.holder}`}${waitsFor.position === null ? '' : `, number ${waitsFor.position} in line`}`;
  const step = steps.find((one) => one.state === 'running' || one.state === 'undoing');
  return step ? `${state}: ${step.name} (step ${steps.indexOf(step) + 1} of ${steps.length})` : state;
}

/** `disk 0: copy-data 37%` for each task that the step at work has begun elsewhere. */
export function childrenText({ steps }: Pick<Task, 'steps'>): string {
  const children = steps.filter(({ state }) => state === 'running' || state === 'undoing').flatMap((step) => step.children);
  return children.filter(({ kind }) => kind !== null).map(({ kind, object, step, state, progress }) => {
    const share = progress === null || progress.total <= 0 ? [] : [`${Math.floor((100 * progress.done) / progress.total)}%`];
    return [`${object?.name ?? kind ?? ''}:`, step ?? state, ...share].join(' ');
  }).join(', ');
}

const nameOf = ({ kind, object }: Task): string => `${kind}${object.name === null ? '' : ` ${object.name}`}`;

/** For output that is kept: one line per change. */
export const logLine = (task: Task): string => visible([nameOf(task), doingText(task), childrenText(task), progressText(task)].filter(Boolean).join('; '));

const barWidth = 24;

/** For a terminal: a bar as wide as the share that is done, within `columns`. */
export function barLine(task: Task, columns: number): string {
  const { progress, steps } = task;
  const counted = steps.filter(({ state }) => state === 'done' || state === 'skipped').length;
  const [done, total] = progress !== null && progress.total > 0 ? [progress.done, progress.total] : [counted, steps.length];
  const filled = total > 0 ? Math.round(barWidth * Math.min(1, done / total)) : 0;
  const bar = `[${'#'.repeat(filled)}${'.'.repeat(barWidth - filled)}] `;
  return bar + cut(visible([nameOf(task), progressText(task), doingText(task), childrenText(task)].filter(Boolean).join('; ')), Math.max(10, columns - width(bar) - 1));
}

/** What a failed task says, for the failure. */
export function endLines(task: Task): string[] {
  const { id, state, error } = task;
  const head = `Task ${id} (${nameOf(task)}) ended ${state}${error === null ? '.' : `: ${error.code}: ${error.detail}`}`;
  const hints: Readonly<Partial<Record<Task['state'], string>>> = {
    failed: 'Everything it did was undone.', cancelled: 'Everything it did was undone.',
    'needs-attention': `An undo could not be completed. When the cause is gone: tokctl task retry ${id}`,
  };
  const hint = hints[state];
  const todo = nextStepFor(error?.code);
  return [head, ...(hint === undefined ? [] : [hint]), ...(todo === undefined ? [] : [todo]), `See tokctl task get ${id}.`, ...(task.traceId === null ? [] : [`trace ${task.traceId}`])].map(visible);
}
