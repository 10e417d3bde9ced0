// Follows a task to its end by long poll. A lost connection or a service that restarts does not end the wait: the task
// goes on without us, and we find it again.
import { setTimeout as sleep } from 'node:timers/promises';
import { getTask, Task } from '#contracts';
import { exit } from './exit-codes.ts';
import { Failure } from './failures.ts';
import type { Platform } from './platform.client.ts';
import { operationNamed } from './platform.client.ts';
import { hasEnded } from './task-text.ts';

export interface FollowOptions {
  /** Longest time to wait for the end, ms. */
  readonly timeoutMs: number;
  readonly onChange: (task: Task) => void;
  /** One long poll, ms. */
  readonly pollMs?: number;
  /** Between two tries when nobody answers, ms. */
  readonly pauseMs?: number;
}

/** How long nobody may answer, and how long an accepted task may be unknown to the view of tasks. */
const patienceMs = 60_000;
const unknownMs = 10_000;

/** Resolves with the task at its end, whatever the end is. Rejects when it is not reached in time. */
export async function followTask(platform: Platform, taskId: string, { timeoutMs, onChange, pollMs = 20_000, pauseMs = 500 }: FollowOptions): Promise<Task> {
  const operation = operationNamed(getTask.name);
  const started = performance.now();
  const left = (): number => started + timeoutMs - performance.now();
  let heardAt = started;
  let version: number | undefined;
  for (;;) {
    if (left() <= 0) throw new Failure(exit.unavailable, `Task ${taskId} has not ended after ${timeoutMs / 1000} s; it goes on.`, `Follow it: tokctl task watch ${taskId}`);
    const waitMs = Math.max(0, Math.min(pollMs, Math.floor(left())));
    try {
      const task = Task.parse(await platform.call(operation, { taskId, waitMs, ...(version === undefined ? {} : { afterVersion: version }) }));
      heardAt = performance.now();
      if (task.version !== version) onChange(task);
      if (hasEnded(task)) return task;
      version = task.version;
    } catch (error) {
      const silentMs = performance.now() - heardAt;
      const passes = error instanceof Failure && ((error.exitCode === exit.unavailable && silentMs < patienceMs) || (error.exitCode === exit.notFound && version === undefined && silentMs < unknownMs));
      if (!passes) throw error;
      await sleep(Math.min(pauseMs, Math.max(1, left())));
    }
  }
}
