// What the kill matrix consists of, and in which order it is gone through. Decides only; the same seed gives the same plan.
import { services, taskServices } from '#contracts';

export const places = ['before', 'after', 'undo-before', 'undo-after'] as const;
/** A place in a kind's table at which its task is held while something dies. */
export interface Point {
  readonly kind: string;
  readonly step: string;
  readonly place: (typeof places)[number];
}
/** What dies together. */
export type Victims = readonly string[];
/** One kill, and the points at which tasks are held meanwhile. */
export interface Round {
  readonly victims: Victims;
  readonly points: readonly Point[];
}
export interface KindSteps {
  readonly kind: string;
  readonly steps: readonly string[];
  /** Steps to whose undo a task can come. */
  readonly undo: readonly string[];
}

/** `agent` = the agents of all hosts, `qemu` = the guests of all VMs of the stage. */
export const victims: readonly string[] = [...services, 'nats', 'redis', 'mariadb', 'agent', 'qemu'];

export const pairs: readonly Victims[] = victims.flatMap((one, at) => victims.slice(at + 1).map((other) => [one, other]));

/** The faults of the plan (tools/test/fault-report.mjs) that killing this victim shows in part. */
export const faultsOf: Readonly<Record<string, string>> = { nats: 'F18', mariadb: 'F23', redis: 'F26', agent: 'F32' };

export const pointsOf = ({ kind, steps, undo }: KindSteps): Point[] => [
  ...steps.flatMap((step) => (['before', 'after'] as const).map((place) => ({ kind, step, place }))),
  ...undo.flatMap((step) => (['undo-before', 'undo-after'] as const).map((place) => ({ kind, step, place }))),
];

export const isUndo = ({ place }: Point): boolean => place.startsWith('undo-');
export const pointName = ({ kind, step, place }: Point): string => `${kind}@${step}@${place}`;
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

/** How many rounds of the sample the victims are divided among. */
const SHARES = 3;

/**
 * Who dies together in the sample: everything once, divided as the seed says, and in a last round all services that work
 * on tasks at once.
 */
export function sampleVictims(seed: number): Victims[] {
  const order = shuffled(victims, numbersOf(seed));
  return [...Array.from({ length: SHARES }, (_, share) => order.filter((__, at) => at % SHARES === share)), taskServices];
}

/** For one round of the sample: each kind at one point that the seed chooses. */
export function samplePoints(registry: readonly KindSteps[], seed: number, round: number): Point[] {
  const random = numbersOf(seed * 100 + round);
  return registry.flatMap((kind) => {
    const points = pointsOf(kind);
    return points[Math.floor(random() * points.length)] ?? [];
  });
}

/**
 * Everything: a round per set of victims with every point of every kind in it, alone first, then in pairs, each in an order
 * of the seed; `shard` [i, n] is every n-th of them, and `most` bounds the tasks of a round.
 */
export function whole(registry: readonly KindSteps[], seed: number, [shard, shards]: readonly [number, number], isDone: (cell: string) => boolean, most = Infinity): Round[] {
  const random = numbersOf(seed);
  const points = registry.flatMap(pointsOf);
  const sets = [...shuffled(victims.map((victim): Victims => [victim]), random), ...shuffled(pairs, random)].filter((_, at) => at % shards === shard - 1);
  return sets.flatMap((set) => inParts(points.filter((point) => !isDone(cellName(point, set))), most).map((part) => ({ victims: set, points: part })));
}

/** Equal parts of at most so many; neighbours come into different ones, so that each has something of every kind. */
function inParts<T>(items: readonly T[], most: number): T[][] {
  const parts = Math.ceil(items.length / most);
  return Array.from({ length: parts }, (_, part) => items.filter((__, at) => at % parts === part));
}
