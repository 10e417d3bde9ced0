// Lets a request wait for news of one task. Woken by the consumer of this replica; another replica's news is found by
// looking again after LOOK_AGAIN_MS.
import { sleep } from '#kernel';

export const LOOK_AGAIN_MS = 1_000;

export class TaskWaiters {
  private readonly waiting = new Map<string, Set<() => void>>();

  wake(taskId: string): void {
    for (const wake of this.waiting.get(taskId) ?? []) wake();
  }

  /** Resolves at news of the task, after `ms`, or when `signal` aborts. */
  async news(taskId: string, ms: number, signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    const wake = (): void => woken.abort();
    const set = this.waiting.get(taskId) ?? new Set();
    this.waiting.set(taskId, set.add(wake));
    try {
      await sleep(Math.min(ms, LOOK_AGAIN_MS), AbortSignal.any([woken.signal, signal]));
    } finally {
      set.delete(wake);
      if (set.size === 0 && this.waiting.get(taskId) === set) this.waiting.delete(taskId);
    }
  }
}
