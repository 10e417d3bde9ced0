// What was handed over and has not ended: entries of one lane are worked on one after the other, in the order in which they came,
// and so many lanes at once. An entry that waits behind another one of its lane takes no place.
import { systemClock } from '#kernel';
import type { Clock } from '#kernel';
import { Gate } from './gate.ts';

interface Lane<T> {
  readonly entries: T[];
  /** When the work on the first entry began, monotonic; undefined = it waits for a place. */
  beganAt: number | undefined;
}

export class Lanes<T> {
  private readonly lanes = new Map<string, Lane<T>>();
  private readonly gate: Gate;
  private held = 0;
  /** When anything began or ended last, monotonic. */
  private movedAt: number;
  private readonly waiters: (() => void)[] = [];

  /** `work` must not reject. */
  constructor(atOnce: number, private readonly work: (entry: T) => Promise<void>, private readonly clock: Clock = systemClock) {
    this.gate = new Gate(atOnce, Infinity);
    this.movedAt = clock.monotonic();
  }

  /** How many lanes have work. */
  get busy(): number {
    return this.lanes.size;
  }

  /** How many entries have not ended. */
  get size(): number {
    return this.held;
  }

  add(name: string, entry: T): void {
    this.held += 1;
    const known = this.lanes.get(name);
    if (known !== undefined) {
      known.entries.push(entry);
      return;
    }
    const lane: Lane<T> = { entries: [entry], beganAt: undefined };
    this.lanes.set(name, lane);
    this.offer(name, lane);
  }

  /** Resolves when the next entry has ended, or was dropped. */
  end(): Promise<void> {
    return new Promise((resolve) => this.waiters.push(resolve));
  }

  /** Resolves when nothing is worked on and nothing waits. */
  idle(): Promise<void> {
    return this.gate.idle();
  }

  /** All that are worked on or have their turn to come; not those who wait for work that has lasted for longer than `longestMs`. */
  moving(longestMs: number): T[] {
    const since = this.clock.monotonic() - longestMs;
    return [...this.lanes.values()].flatMap(({ entries, beganAt }) => ((beganAt ?? this.movedAt) > since ? entries : []));
  }

  /** Forgets what has not begun, and answers it. */
  drop(): T[] {
    const dropped = [...this.lanes.values()].flatMap(({ entries, beganAt }) => entries.splice(beganAt === undefined ? 0 : 1));
    this.held -= dropped.length;
    this.tell();
    return dropped;
  }

  private offer(name: string, lane: Lane<T>): void {
    this.gate.offer(() => this.next(name, lane));
  }

  private async next(name: string, lane: Lane<T>): Promise<void> {
    const [entry] = lane.entries;
    if (entry !== undefined) {
      this.movedAt = lane.beganAt = this.clock.monotonic();
      await this.work(entry);
      lane.entries.shift();
      lane.beganAt = undefined;
      this.movedAt = this.clock.monotonic();
      this.held -= 1;
    }
    if (lane.entries.length > 0) this.offer(name, lane);
    else this.lanes.delete(name);
    this.tell();
  }

  private tell(): void {
    for (const resolve of this.waiters.splice(0)) resolve();
  }
}
