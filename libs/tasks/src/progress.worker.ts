// Real progress of a running step: shown at most twice a second, with a rate over the last seconds and an estimate.
import type { TaskProgress } from '#contracts';
import type { z } from 'zod';
import type { Claim } from './claim.store.ts';
import { ClaimLost } from './interrupt.ts';
import type { Progress, TaskLog } from './kind.ts';
import { recordProgress } from './record.store.ts';
import type { Book } from './record.store.ts';

const SHOW_EVERY_MS = 500;
const WINDOW_MS = 10_000;

export type ProgressView = z.infer<typeof TaskProgress>;

/** Rate and remaining time from what was seen within the last ten seconds. */
export class RateWindow {
  private seen: { readonly at: number; readonly done: number }[] = [];

  view(progress: Progress, nowMs: number): ProgressView {
    this.seen = [...this.seen.filter((sample) => nowMs - sample.at <= WINDOW_MS && sample.done <= progress.done), { at: nowMs, done: progress.done }];
    const first = this.seen[0];
    const tookMs = first === undefined ? 0 : nowMs - first.at;
    const rate = first === undefined || tookMs < 100 ? null : ((progress.done - first.done) / tookMs) * 1000;
    const left = Math.max(0, progress.total - progress.done);
    return { ...progress, ratePerSecond: rate, remainingMs: rate === null || rate <= 0 ? null : Math.round((left / rate) * 1000) };
  }
}

export class ProgressMeter {
  private readonly rates = new RateWindow();
  private shownAt = -Infinity;
  private writing: Promise<void> = Promise.resolve();

  constructor(private readonly book: Book, private readonly claim: Claim, private readonly log: TaskLog) {}

  show(progress: Progress): void {
    const now = performance.now();
    const view = this.rates.view(progress, now);
    if (now - this.shownAt < SHOW_EVERY_MS) return;
    this.shownAt = now;
    this.writing = this.writing.then(() => this.write(view));
  }

  /** Resolves when nothing is being written any more. */
  settled(): Promise<void> {
    return this.writing;
  }

  private async write(view: ProgressView): Promise<void> {
    try {
      await recordProgress(this.book, this.claim, view);
    } catch (error) {
      // Progress is for the eye: a step does not fail for it, and the renewal notices a lost claim.
      if (!(error instanceof ClaimLost)) this.log.warn({ err: error, taskId: this.claim.taskId }, 'progress could not be shown');
    }
  }
}
