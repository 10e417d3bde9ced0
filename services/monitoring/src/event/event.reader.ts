// Lets a door wait for the log to go on, so that it need not ask again and again.
import type { DataSource } from 'typeorm';
import type { BusContext } from '#bus';
import type { InputOf, ReplyOf, waitForEvents } from '#contracts';
import type { TaskWaiters } from '../task/task.waiters.ts';
import { lastSeq } from './event.store.ts';

/** Under which name the waiters wait for the log. */
export const logNews = 'event-log';

export class EventReader {
  constructor(private readonly db: DataSource, private readonly waiters: TaskWaiters) {}

  async wait(input: InputOf<typeof waitForEvents>, ctx: BusContext): Promise<ReplyOf<typeof waitForEvents>> {
    const until = performance.now() + Math.min(input.waitMs, Math.max(0, ctx.deadline.leftMs() - 1_000));
    for (;;) {
      const last = await lastSeq(this.db);
      const leftMs = until - performance.now();
      if (last > input.after || leftMs <= 0 || ctx.signal.aborted || !this.waiters.hasRoom) return { lastSeq: last };
      await this.waiters.news(logNews, leftMs, ctx.signal);
    }
  }
}
