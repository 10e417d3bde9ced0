// What the kill matrix consists of, and in which order it is gone through. Decides only; the same seed gives the same plan.
import { services } from '#contracts';

/** A place in a kind's table at which its task is held while something dies. */
export interface Point {
  readonly kind: string;
  readonly step: string;
  readonly place: 'before' | 'after';
}
/** What dies together. */
export type Victims = readonly string[];
/** One kill: each kind is held at its point number `index`, counted round when it has fewer. */
export interface Round {
  readonly victims: Victims;
  readonly index: number;
}
export interface KindSteps {
  readonly kind: string;
  readonly steps: readonly string[];
}

/** `agent` = the agents of all hosts, `qemu` = the guests of all VMs of the stage. */
export const victims: readonly string[] = [...services, 'gateway', 'nats', 'redis', 'mariadb', 'agent', 'qemu'];

export const pairs: readonly Victims[] = victims.flatMap((one, at) => victims.slice(at + 1).map((other) => [one, other]));

export const pointsOf = ({ kind, steps }: KindSteps): Point[] => steps.flatMap((step) => (['before', 'after'] as const).map((place) => ({ kind, step, place })));

/**
 * Where a kind is held in the round with this index. A kind that only another one begins has its turns behind those of
 * that one: who holds the parent has no child to hold. `wrap` counts round, so that every round has a point of each.
 */
export function pointAt(registry: readonly KindSteps[], begunBy: Readonly<Record<string, string>>, kind: KindSteps, index: number, wrap: boolean): Point | undefined {
  const turnsOf = (found: KindSteps | undefined): number => (found === undefined ? 0 : pointsOf(found).length);
  const before = turnsOf(registry.find((other) => other.kind === begunBy[kind.kind]));
  const behind = turnsOf(registry.find((other) => begunBy[other.kind] === kind.kind));
  const points = pointsOf(kind);
  return points[(wrap ? index % (before + points.length + behind) : index) - before];
}

/** How many rounds it takes until each point of each kind has had its turn. */
export const turns = (registry: readonly KindSteps[], begunBy: Readonly<Record<string, string>>): number =>
  Math.max(...registry.map((kind) => pointsOf(kind).length + (registry.filter((other) => other.kind === begunBy[kind.kind]).map((parent) => pointsOf(parent).length)[0] ?? 0)));

export const cellName = ({ kind, step, place }: Point, killed: Victims): string => `${kind} ${step} ${place} ${[...killed].sort().join('+')}`;

/** Numbers from a seed (mulberry32): the same on every machine. */
export function numbersOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function shuffled<T>(items: readonly T[], random: () => number): T[] {
  return items.map((item) => ({ item, at: random() })).sort((a, b) => a.at - b.at).map(({ item }) => item);
}

/** The sample: everything is killed once, three at a time to be short, each kind at a point that the seed chooses. */
export function sample(seed: number): Round[] {
  const random = numbersOf(seed);
  const order = shuffled(victims, random);
  return Array.from({ length: Math.ceil(order.length / 3) }, (_, at) => ({ victims: order.slice(at * 3, at * 3 + 3), index: Math.floor(random() * 1_000) }));
}

/** Everything: alone first, then in pairs, each in an order of the seed; `shard` [i, n] is every n-th of it. */
export function whole(mostPoints: number, seed: number, [shard, shards]: readonly [number, number]): Round[] {
  const random = numbersOf(seed);
  const rounds = (sets: readonly Victims[]): Round[] => shuffled(sets.flatMap((set) => Array.from({ length: mostPoints }, (_, index) => ({ victims: set, index }))), random);
  return [...rounds(victims.map((victim) => [victim])), ...rounds(pairs)].filter((_, at) => at % shards === shard - 1);
}
