// What was handed over and has not ended: entries of one lane are worked on one after the other, in the order in which they came,
// and so many lanes at once. An entry that waits behind another one of its lane takes no place. Places are shared out party by
// party: the next one is for who has the fewest lanes at work, and among those for who got none for longest.
import { systemClock } from '#kernel';
import type { Clock } from '#kernel';

interface Lane<T> {
  readonly entries: T[];
  /** When the work on the first entry began, monotonic; undefined = it waits for a place. */
  beganAt: number | undefined;
}

class Party<T> {
  readonly lanes = new Map<string, Lane<T>>();
  /** Lanes that wait for a place, in their order. */
  readonly waiting: string[] = [];
  readonly waiters: (() => void)[] = [];
  held = 0;
  atWork = 0;
  /** The number of the last place that it got. */
  servedAt = 0;

  comesBefore(other: Party<T>): boolean {
    return this.atWork === other.atWork ? this.servedAt < other.servedAt : this.atWork < other.atWork;
  }

  tell(): void {
    for (const resolve of this.waiters.splice(0)) resolve();
  }
}

export class Lanes<T> {
  private readonly parties = new Map<string, Party<T>>();
  private readonly idlers: (() => void)[] = [];
  private atWork = 0;
  private places = 0;
  /** When anything began or ended last, monotonic. */
  private movedAt: number;

  /** `work` must not reject. */
  constructor(private readonly atOnce: number, private readonly work: (entry: T) => Promise<void>, private readonly clock: Clock = systemClock) {
    this.movedAt = clock.monotonic();
  }

  /** How many parties have entries that have not ended. */
  get busy(): number {
    return this.parties.size;
  }

  /** What of a party has not ended. */
  of(party: string): { readonly lanes: number; readonly entries: number } {
    const known = this.parties.get(party);
    return { lanes: known?.lanes.size ?? 0, entries: known?.held ?? 0 };
  }

  add(party: string, lane: string, entry: T): void {
    const known = this.parties.get(party) ?? new Party<T>();
    this.parties.set(party, known);
    known.held += 1;
    const before = known.lanes.get(lane);
    if (before !== undefined) {
      before.entries.push(entry);
      return;
    }
    known.lanes.set(lane, { entries: [entry], beganAt: undefined });
    known.waiting.push(lane);
    this.fill();
  }

  /** Resolves when the next entry of the party has ended, or was dropped; at once where it has none. */
  end(party: string): Promise<void> {
    const known = this.parties.get(party);
    return known === undefined ? Promise.resolve() : new Promise((resolve) => known.waiters.push(resolve));
  }

  /** Resolves when nothing is worked on and nothing waits. */
  idle(): Promise<void> {
    return this.atWork === 0 ? Promise.resolve() : new Promise((resolve) => this.idlers.push(resolve));
  }

  /** All that are worked on or have their turn to come; not those who wait for work that has lasted for longer than `longestMs`. */
  moving(longestMs: number): T[] {
    const since = this.clock.monotonic() - longestMs;
    return [...this.parties.values()].flatMap(({ lanes }) => [...lanes.values()].flatMap(({ entries, beganAt }) => ((beganAt ?? this.movedAt) > since ? entries : [])));
  }

  /** Forgets what has not begun, and answers it. */
  drop(): T[] {
    return [...this.parties].flatMap(([name, party]) => {
      const dropped = [...party.lanes].flatMap(([laneName, { entries, beganAt }]) => {
        if (beganAt === undefined) party.lanes.delete(laneName);
        return entries.splice(beganAt === undefined ? 0 : 1);
      });
      party.waiting.length = 0;
      party.held -= dropped.length;
      if (party.held === 0) this.parties.delete(name);
      party.tell();
      return dropped;
    });
  }

  private fill(): void {
    while (this.atWork < this.atOnce) {
      let next: readonly [string, Party<T>] | undefined;
      for (const entry of this.parties) {
        if (entry[1].waiting.length > 0 && (next === undefined || entry[1].comesBefore(next[1]))) next = entry;
      }
      if (next === undefined) return;
      void this.begin(...next);
    }
  }

  private async begin(partyName: string, party: Party<T>): Promise<void> {
    const name = party.waiting.shift() ?? '';
    const lane = party.lanes.get(name);
    const [entry] = lane?.entries ?? [];
    if (lane === undefined || entry === undefined) return;
    this.atWork += 1;
    party.atWork += 1;
    party.servedAt = this.places += 1;
    this.movedAt = lane.beganAt = this.clock.monotonic();
    await this.work(entry);
    lane.entries.shift();
    lane.beganAt = undefined;
    this.movedAt = this.clock.monotonic();
    this.atWork -= 1;
    party.atWork -= 1;
    party.held -= 1;
    if (lane.entries.length > 0) party.waiting.push(name);
    else party.lanes.delete(name);
    if (party.held === 0) this.parties.delete(partyName);
    party.tell();
    this.fill();
    if (this.atWork === 0) for (const resolve of this.idlers.splice(0)) resolve();
  }
}
