// The tasks that run in this process: at most `concurrency` at once, their claims renewed, all of them handed over when
// the service stops. A worker that cannot renew in time stops before its claim can be another's.
import { makeDue, claimTask, renewClaim } from './claim.store.ts';
import { RunControl } from './control.ts';
import { Opening, runClaimed } from './run.worker.ts';
import type { DueAgain, Workshop } from './run.worker.ts';
import { nextInTurn } from './turn.store.ts';
import { Turns } from './turns.ts';

interface Running {
  readonly control: RunControl;
  readonly ended: Promise<undefined>;
  renewedAt: number;
}

export class Floor {
  /** By run, not by task: a run that lost its claim may still be ending while the task runs here again. */
  private readonly running = new Set<Running>();
  /** Who waits for a place, the longest first; told whether he has it. */
  private readonly waiting = new Set<(placed: boolean) => void>();
  private readonly turns: Turns;
  private taken = 0;
  private stopping = false;
  private renewTimer: NodeJS.Timeout | undefined;

  constructor(
    private readonly shop: Workshop,
    private readonly worker: string,
    /** Tells that a task is due after so many ms. */
    private readonly later: (taskId: string, afterMs: number) => void,
  ) {
    const { book, settings } = shop;
    // Enough for as long as a list is believed: reading a long queue costs the same for one as for many.
    this.turns = new Turns(() => nextInTurn(book.db, 4 * settings.concurrency));
  }

  open(): void {
    this.renewTimer = setInterval(() => { void this.renewAll(); }, this.shop.settings.renewMs);
  }

  get hasRoom(): boolean {
    return !this.stopping && this.taken < this.shop.settings.concurrency;
  }

  /** Claims and runs the task if it is due and free, or another whose turn comes before it; waits for a place first. */
  async look(taskId: string): Promise<void> {
    if (await this.place()) await this.run(taskId);
  }

  /** The same, told when it has its place: false when none was free within so many ms. */
  async begin(taskId: string, withinMs: number): Promise<boolean> {
    const placed = await this.place(withinMs);
    if (placed) void this.run(taskId);
    return placed;
  }

  private place(withinMs?: number): Promise<boolean> {
    if (this.stopping) return Promise.resolve(false);
    if (this.hasRoom) {
      this.taken += 1;
      return Promise.resolve(true);
    }
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.waiting.add(resolve);
    if (withinMs === undefined) return promise;
    const timer = setTimeout(() => { if (this.waiting.delete(resolve)) resolve(false); }, withinMs);
    return promise.finally(() => { clearTimeout(timer); });
  }

  /** A place that becomes free belongs to who has waited longest: nobody slips in between. */
  private leave(): void {
    const [next] = this.waiting;
    if (next === undefined) {
      this.taken -= 1;
      return;
    }
    this.waiting.delete(next);
    next(true);
  }

  private dismiss(): void {
    for (const turnAway of this.waiting) turnAway(false);
    this.waiting.clear();
  }

  private async run(taskId: string): Promise<void> {
    try {
      if (!this.stopping) await this.claimAndRun(taskId);
    } catch (error) {
      // Database gone, most likely: the claim runs out and the sweep finds the task again.
      this.shop.log.error({ err: error, taskId }, 'a run broke off; the task goes on when its claim has run out');
    } finally {
      this.leave();
    }
  }

  private async claimAndRun(wokenFor: string): Promise<void> {
    const { book, settings } = this.shop;
    const opening = new Opening(this.shop);
    let claimedAt = performance.now();
    const claimed = await this.turns.take(wokenFor, (id) => {
      claimedAt = performance.now();
      return claimTask(book.db, id, this.worker, settings.leaseMs, (tx, task) => opening.move(tx, task));
    });
    if (claimed === null) return;
    const { taskId } = claimed.claim;
    const control = new RunControl(claimed.claim);
    const { promise: ended, resolve } = Promise.withResolvers<undefined>();
    const running: Running = { control, ended, renewedAt: claimedAt };
    this.running.add(running);
    let due: DueAgain = null;
    try {
      if (this.stopping) control.interrupt('stopping');
      due = await runClaimed(this.shop, control, { task: claimed.task, begun: opening.begun, waitedFor: claimed.waitedFor });
    } finally {
      this.running.delete(running);
      resolve(undefined);
    }
    if (due !== null) this.later(taskId, due);
  }

  /** A cancel that was recorded reaches a step that runs here without waiting for the next renewal. */
  cancel(taskId: string): void {
    for (const { control } of this.running) if (control.claim.taskId === taskId) control.interrupt('cancelled');
  }

  private async renewAll(): Promise<void> {
    await Promise.all([...this.running].map((running) => this.renew(running)));
  }

  private async renew(running: Running): Promise<void> {
    const { book, settings, log } = this.shop;
    const askedAt = performance.now();
    try {
      const renewed = await renewClaim(book.db, running.control.claim, settings.leaseMs);
      if (renewed === null) {
        // A run that has just recorded its end looks the same; interrupting it does nothing then.
        running.control.interrupt('lost');
        return;
      }
      running.renewedAt = askedAt;
      if (renewed.cancel) running.control.interrupt('cancelled');
    } catch (error) {
      log.warn({ err: error, taskId: running.control.claim.taskId }, 'a claim could not be renewed');
      if (performance.now() - running.renewedAt > settings.leaseMs) running.control.interrupt('lost');
    }
  }

  /** Waits for running steps up to `graceMs`, then tells them to stop; what they have not recorded is repeated elsewhere. */
  async close(graceMs: number): Promise<void> {
    this.stopping = true;
    this.dismiss();
    for (const { control } of this.running) control.interrupt('stopping');
    const all = Promise.all([...this.running].map((running) => running.ended));
    const limit = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => { limit.resolve(undefined); }, graceMs);
    await Promise.race([all, limit.promise]);
    clearTimeout(timer);
    clearInterval(this.renewTimer);
    for (const { control } of this.running) control.interrupt('lost');
  }

  /** For tests: ends without a word, as a killed process does. */
  vanish(): void {
    this.stopping = true;
    clearInterval(this.renewTimer);
    this.dismiss();
    for (const { control } of this.running) control.interrupt('lost');
    this.running.clear();
  }

  /** For tests: stands still, as a stopped process does. What runs keeps its reins and is renewed no more. */
  freeze(): void {
    this.stopping = true;
    clearInterval(this.renewTimer);
    this.dismiss();
  }

  /** Resolves when nothing runs here any more. */
  async quiet(): Promise<void> {
    await Promise.all([...this.running].map((running) => running.ended));
  }

  /** Makes a task due now and says so. */
  async wake(taskId: string): Promise<void> {
    if ((await makeDue(this.shop.book.db, taskId)) !== null) this.later(taskId, 0);
  }
}
