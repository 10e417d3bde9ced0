// Bounded concurrency: so many jobs run, so many wait in order of arrival, and the next one is refused at once.
// A job must not reject; what it throws is a bug of the caller and ends the process as one.

export type Job = () => Promise<void>;

export class Gate {
  private readonly queue: Job[] = [];
  private readonly idlers: (() => void)[] = [];
  private active = 0;

  constructor(
    private readonly limit: number,
    private readonly waitingLimit: number,
  ) {}

  get running(): number {
    return this.active;
  }

  get waiting(): number {
    return this.queue.length;
  }

  /** Runs the job now or later; false = no room, it will never run. */
  offer(job: Job): boolean {
    if (this.active < this.limit) this.start(job);
    else if (this.queue.length < this.waitingLimit) this.queue.push(job);
    else return false;
    return true;
  }

  /** Resolves when nothing runs and nothing waits. */
  idle(): Promise<void> {
    return this.active === 0 ? Promise.resolve() : new Promise((resolve) => this.idlers.push(resolve));
  }

  private start(job: Job): void {
    this.active += 1;
    void job().finally(() => {
      this.active -= 1;
      const next = this.queue.shift();
      if (next) this.start(next);
      else if (this.active === 0) this.idlers.splice(0).forEach((resolve) => resolve());
    });
  }
}
