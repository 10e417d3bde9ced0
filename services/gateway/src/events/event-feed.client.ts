// Tells streams that the event log has gone on. One question for all of them waits at monitoring, while there are any; what
// is new each stream reads for itself, with its own user's rights.
import type { BusClient } from '#bus';
import { waitForEvents } from '#contracts';
import { sleep } from '#kernel';

const waitMs = 20_000;
const outageMs = 500;
/** However fast the log goes on, streams read it in gulps. */
const gulpMs = 50;

export class EventFeed {
  private readonly waiting = new Set<() => void>();
  private asking: Promise<void> | undefined;
  private last = 0;

  constructor(private readonly bus: Pick<BusClient, 'request'>) {}

  /** Resolves when the log may have gone on beyond `after`, after `ms`, or when `signal` aborts. */
  async news(after: number, ms: number, signal: AbortSignal): Promise<void> {
    if (this.last > after) return sleep(gulpMs, signal);
    const woken = new AbortController();
    const wake = (): void => { woken.abort(); };
    this.waiting.add(wake);
    this.asking ??= this.ask().finally(() => { this.asking = undefined; });
    try {
      await sleep(ms, AbortSignal.any([woken.signal, signal]));
    } finally {
      this.waiting.delete(wake);
    }
  }

  private async ask(): Promise<void> {
    while (this.waiting.size > 0) {
      const answer = await this.bus.request(waitForEvents, { after: this.last, waitMs }, { as: 'system' });
      if (!answer.ok) {
        await sleep(outageMs);
        continue;
      }
      if (answer.value.lastSeq === this.last) continue;
      this.last = answer.value.lastSeq;
      for (const wake of this.waiting) wake();
      await sleep(gulpMs);
    }
  }
}
