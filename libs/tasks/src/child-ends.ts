// Ends of children that a step of this process waits for with its worker in hand. Everybody else's parents are woken.
import type { Task } from '#contracts';

export class ChildEnds {
  private readonly waiting = new Map<string, ChildWait>();

  /** `parentTaskId` waits from now on; an end that comes before it is asked for is kept. */
  expect(parentTaskId: string): ChildWait {
    const wait = new ChildWait(() => { if (this.waiting.get(parentTaskId) === wait) this.waiting.delete(parentTaskId); });
    this.waiting.set(parentTaskId, wait);
    return wait;
  }

  /** A child of this task has ended, and what it has come to where that is known. False: nobody here waits for it. */
  tell(parentTaskId: string, child: Task | null): boolean {
    const wait = this.waiting.get(parentTaskId);
    wait?.tell(child);
    return wait !== undefined;
  }
}

export class ChildWait {
  private told = false;
  private resume: (() => void) | undefined;
  private readonly ended = new Map<string, Task>();

  constructor(readonly close: () => void) {}

  tell(child: Task | null): void {
    if (child !== null) this.ended.set(child.id, child);
    this.told = true;
    this.resume?.();
  }

  /** The child as it has told its end; undefined where it has not, or not here. */
  endOf(taskId: string): Task | undefined {
    return this.ended.get(taskId);
  }

  /** Whether a child has ended since this was asked last; waits so long for one, and not behind an abort. */
  async within(ms: number, signal: AbortSignal): Promise<boolean> {
    if (!this.told && ms > 0 && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<undefined>();
      const go = (): void => { resolve(undefined); };
      const timer = setTimeout(go, ms);
      this.resume = go;
      signal.addEventListener('abort', go, { once: true });
      await promise;
      clearTimeout(timer);
      this.resume = undefined;
      signal.removeEventListener('abort', go);
    }
    const { told } = this;
    this.told = false;
    return told;
  }
}
