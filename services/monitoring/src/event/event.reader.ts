// Reads the log and waits for it to go on, so that nobody need ask again and again.
import type { DataSource } from 'typeorm';
import type { BusContext } from '#bus';
import { isGone, type InputOf, type listEvents, type readEventLog, type ReplyOf } from '#contracts';
import { whoOf } from '#database';
import type { TaskWaiters } from '../task/task.waiters.ts';
import { lastSeq, reachOf, readEntries, readLog } from './event.store.ts';

/** Under which name the waiters wait for the log. */
export const logNews = 'event-log';

/** Monotonic; a second is left for the answer. */
const endOf = (waitMs: number, ctx: BusContext): number => performance.now() + Math.min(waitMs, Math.max(0, ctx.deadline.leftMs() - 1_000));

export class EventReader {
  constructor(private readonly db: DataSource, private readonly waiters: TaskWaiters) {}

  /** What there is behind `after`. Where nothing is there that the caller may see, and he waits: as soon as there is something. */
  async list(input: InputOf<typeof listEvents>, ctx: BusContext): Promise<ReplyOf<typeof listEvents>> {
    const end = endOf(input.waitMs, ctx);
    for (let { after } = input; ;) {
      const page = await readLog(this.db, whoOf(ctx), { ...input, after });
      if (page.items.length > 0 || input.latest || input.waitMs === 0) return page;
      after = Math.max(after, page.lastSeq);
      if ((await this.beyond(after, end, ctx)) <= after) return page;
    }
  }

  /** The same for services that pass events on. */
  async read({ after, limit, waitMs, filter }: InputOf<typeof readEventLog>, ctx: BusContext): Promise<ReplyOf<typeof readEventLog>> {
    if (after === undefined) {
      const { last, first } = await reachOf(this.db);
      return { items: [], position: last, lastSeq: last, firstSeq: first };
    }
    const end = endOf(waitMs, ctx);
    for (let behind = after; ;) {
      const page = await readEntries(this.db, whoOf(ctx), { after: behind, limit, filter });
      if (page.items.length > 0 || waitMs === 0 || isGone(behind, page.firstSeq)) return page;
      behind = page.position;
      if ((await this.beyond(behind, end, ctx)) <= behind) return page;
    }
  }

  /** How far the log is: beyond `after`, or it is `end`. */
  private async beyond(after: number, end: number, ctx: BusContext): Promise<number> {
    for (;;) {
      const last = await lastSeq(this.db);
      const leftMs = end - performance.now();
      if (last > after || leftMs <= 0 || ctx.signal.aborted || !this.waiters.hasRoom) return last;
      await this.waiters.news(logNews, leftMs, ctx.signal);
    }
  }
}
