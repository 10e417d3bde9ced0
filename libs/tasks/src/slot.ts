// How many tasks may work at one thing at once, and whose turn it is: a slot that comes free goes to who holds the fewest
// of them, and among those to who has waited longest. So a user who asks for a thousand things delays others by one each.

/** What a step takes while it works, e.g. one of the copies that a datastore takes at once. */
export interface Slot {
  readonly noun: string;
  readonly id: string;
  /** As a person knows it. */
  readonly name?: string | null;
  /** With the noun it names the limit: `datastore` and `copies`. */
  readonly of: string;
}

/** By `<noun>.<of>`, e.g. `datastore.copies`: at least 1. What is not named has no limit. */
export type SlotLimits = Readonly<Record<string, number>>;

export const limitNameOf = ({ noun, of }: Slot): string => `${noun}.${of}`;
export const resourceOf = (slot: Slot): string => `${limitNameOf(slot)}:${slot.id}`;

/** One who holds a slot or waits for one. */
export interface Claimant {
  readonly taskId: string;
  readonly userId: string;
  readonly isGranted: boolean;
}

export interface Turn {
  /** Those who get a slot now, in order. */
  readonly granted: readonly string[];
  /** Those who go on waiting, the next first. */
  readonly waiting: readonly string[];
}

/** `claimants` in the order in which they have asked. */
export function turnOf(claimants: readonly Claimant[], most: number): Turn {
  const holders = claimants.filter(({ isGranted }) => isGranted);
  const held = new Map<string, number>();
  const take = ({ userId }: Claimant): void => { held.set(userId, (held.get(userId) ?? 0) + 1); };
  holders.forEach(take);
  const left = claimants.filter(({ isGranted }) => !isGranted);
  const order: Claimant[] = [];
  while (left.length > 0) {
    const next = left.reduce((best, one) => ((held.get(one.userId) ?? 0) < (held.get(best.userId) ?? 0) ? one : best));
    left.splice(left.indexOf(next), 1);
    take(next);
    order.push(next);
  }
  const free = Math.max(0, most - holders.length);
  const ids = order.map(({ taskId }) => taskId);
  return { granted: ids.slice(0, free), waiting: ids.slice(free) };
}
