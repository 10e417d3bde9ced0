// Lets a request wait for news of one task, or of anything else that has a name. Woken by the consumer of this replica; another replica's news is found by
// looking again after LOOK_AGAIN_MS.
import { sleep } from '#kernel';

export const LOOK_AGAIN_MS = 1_000;

/** A request that waits takes one of the service's places for requests; most of them must stay free for those that do not. */
export const MOST_WAITERS = 40;

export class TaskWaiters {
  private readonly waiting = new Map<string, Set<() => void>>();
  private count = 0;

  /** False = too many wait already: answer what is known. */
  get hasRoom(): boolean {
    return this.count < MOST_WAITERS;
  }

  wake(taskId: string): void {
    for (const wake of this.waiting.get(taskId) ?? []) wake();
  }

  /** Resolves at news of the task, after `ms`, or when `signal` aborts. */
  async news(taskId: string, ms: number, signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    const wake = (): void => woken.abort();
    const set = this.waiting.get(taskId) ?? new Set();
    this.waiting.set(taskId, set.add(wake));
    this.count += 1;
    try {
      await sleep(Math.min(ms, LOOK_AGAIN_MS), AbortSignal.any([woken.signal, signal]));
    } finally {
      set.delete(wake);
      this.count -= 1;
      if (set.size === 0 && this.waiting.get(taskId) === set) this.waiting.delete(taskId);
    }
  }
}
