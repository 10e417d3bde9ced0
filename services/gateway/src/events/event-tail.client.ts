// The newest events, in the memory of this door: the log is asked once for all who follow it, and what each of them may see is
// decided here. What is kept has no gap, so whoever is within it misses nothing; whoever is behind it reads the log himself.
import type { BusClient } from '#bus';
import { readEventLog } from '#contracts';
import type { LogEntry } from '#contracts';
import { sleep } from '#kernel';

/** Events in order, and how far they reach: all with numbers above `after` up to `position`. */
export interface Stretch {
  readonly items: readonly LogEntry[];
  readonly after: number;
  readonly position: number;
}

const waitMs = 3_000;
/** Nobody says that the answerer has died: a question that waits is short, and asked anew when so much more has passed. */
const lostAfterMs = waitMs + 2_000;
const outageMs = 500;
const mostKept = 10_000;
const mostBytes = 32 * 1024 * 1024;
/** After the followers have been served, they rest for as long as it took: the log never has more than half of this process. */
const longestRestMs = 100;

/** At once, so that a follower who does not read holds little. */
const mostAtOnce = 500;
const bytesAtOnce = 512 * 1024;

function cut(items: readonly LogEntry[], begin: number): LogEntry[] {
  const some = items.slice(begin, begin + mostAtOnce);
  let room = bytesAtOnce;
  const tooMany = some.findIndex(({ text }, index) => (room -= text.length) < 0 && index > 0);
  return tooMany === -1 ? some : some.slice(0, tooMany);
}

export class EventTail {
  private items: LogEntry[] = [];
  private bytes = 0;
  /** The number before that of `items[0]`; undefined = nothing is known yet. */
  private from: number | undefined;
  private followers = 0;
  private asking: Promise<void> | undefined;
  private readonly waiting = new Set<() => void>();
  /** Stretches that were asked for since the last news; those who are equally far get the same one. */
  private readonly shared = new Map<number, Stretch>();

  constructor(private readonly bus: Pick<BusClient, 'request'>) {}

  /** The log is asked while anybody follows. Answers how to stop. */
  follow(): () => void {
    this.followers += 1;
    this.begin();
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.followers -= 1;
    };
  }

  private begin(): void {
    this.asking ??= this.ask().finally(() => {
      this.asking = undefined;
      // One who came just as the last had left.
      if (this.followers > 0) this.begin();
    });
  }

  /** What is behind `after`, as much as is written at once; undefined = that is not here, or nothing is known yet. */
  behind(after: number): Stretch | undefined {
    const { from } = this;
    if (from === undefined || after < from || after > from + this.items.length) return undefined;
    const known = this.shared.get(after);
    if (known !== undefined) return known;
    const items = cut(this.items, after - from);
    const stretch = { items, after, position: after + items.length };
    this.shared.set(after, stretch);
    return stretch;
  }

  /** Resolves at news, after `ms`, or when `signal` aborts. */
  async news(ms: number, signal: AbortSignal): Promise<void> {
    const woken = new AbortController();
    const wake = (): void => { woken.abort(); };
    this.waiting.add(wake);
    try {
      await sleep(ms, AbortSignal.any([woken.signal, signal]));
    } finally {
      this.waiting.delete(wake);
    }
  }

  private async ask(): Promise<void> {
    // What happened while nobody followed is read by whoever needs it.
    this.forget();
    while (this.followers > 0) {
      const answer = await this.bus.request(readEventLog, this.from === undefined ? {} : { after: this.from + this.items.length, waitMs, limit: 1_000 }, { as: 'system', timeoutMs: lostAfterMs });
      if (!answer.ok) {
        await sleep(outageMs);
        continue;
      }
      const { items, position, lastSeq } = answer.value;
      const isNew = this.from === undefined || items.length > 0;
      // A log that ends before what is here was set back to an older state.
      this.take(items, items.length === 0 ? lastSeq : position);
      if (isNew) await this.tell();
    }
  }

  private take(items: readonly LogEntry[], position: number): void {
    this.from ??= position;
    const end = this.from + this.items.length;
    // Numbers have no gap but where the log keeps the events no longer, or begins anew.
    const isNext = items.every(({ globalSeq }, index) => globalSeq === end + index + 1) && position === end + items.length;
    if (!isNext) {
      this.forget();
      this.from = position;
      return;
    }
    this.items.push(...items);
    for (const { text } of items) this.bytes += text.length;
    this.shared.clear();
    if (this.items.length > mostKept || this.bytes > mostBytes) this.shed();
  }

  /** Half at once, so that it costs nothing per event. */
  private shed(): void {
    const going = this.items.splice(0, Math.ceil(this.items.length / 2));
    for (const { text } of going) this.bytes -= text.length;
    this.from = (this.from ?? 0) + going.length;
    this.shared.clear();
  }

  private forget(): void {
    this.items = [];
    this.bytes = 0;
    this.from = undefined;
    this.shared.clear();
  }

  private async tell(): Promise<void> {
    const startedAt = performance.now();
    for (const wake of [...this.waiting]) wake();
    // Behind everything that the followers do now.
    await new Promise<void>((resolve) => { setImmediate(resolve); });
    await sleep(Math.min(longestRestMs, performance.now() - startedAt));
  }
}
