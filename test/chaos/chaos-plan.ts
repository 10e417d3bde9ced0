// What a chaos run does, from its seed alone: which commands by which door in which order, and what is broken when. Decides
// only; the same seed gives the same plan, whatever the machine makes of it.
import { services, taskServices } from '#contracts';
import { numbersOf, shuffled } from '../faults/matrix-plan.ts';

/** `request` and `publish` are the two ways of the bus. */
export const doors = ['rest', 'request', 'publish'] as const;
export type DoorName = (typeof doors)[number];

export interface Wish {
  readonly deed: string;
  readonly door: DoorName;
}

/** `flush` = Redis forgets everything; `freeze` = stopped past the end of its claims and thawed. */
export interface Strike {
  readonly atMs: number;
  readonly what: 'kill' | 'flush' | 'freeze';
  readonly victim: string;
  /** How long it stays away. */
  readonly forMs: number;
}

const MINUTE = 60_000;
/** What is away for long, one after another; fits into sixteen minutes. */
export const longOutages: readonly Strike[] = [
  { atMs: MINUTE, what: 'kill', victim: 'nats', forMs: 10 * MINUTE },
  { atMs: 11.5 * MINUTE, what: 'freeze', victim: 'nats', forMs: MINUTE },
  { atMs: 13 * MINUTE, what: 'kill', victim: 'mariadb', forMs: MINUTE },
  { atMs: 14 * MINUTE, what: 'kill', victim: 'redis', forMs: 2 * MINUTE },
];

/** So much of each fault in a run of two hundred commands; a smaller run has its share, and at least one. */
const WHOLE = 200;
const NATS_KILLS = 20;
const FREEZE_MS = 13_000;
const AWAY_MS = 3_000;

/** Every deed in turn, each turn in another order, so that each comes up equally often. */
export function* wishes(deeds: readonly string[], seed: number): Generator<Wish, never> {
  const random = numbersOf(seed);
  for (;;) for (const deed of shuffled(deeds, random)) yield { deed, door: doors[Math.floor(random() * doors.length)] ?? 'rest' };
}

/** The faults in the order of their times; `agents` are the names of their processes. */
export function strikes(agents: readonly string[], { seed, minutes, tasks }: { readonly seed: number; readonly minutes: number; readonly tasks: number }): Strike[] {
  const random = numbersOf(seed + 1);
  const share = (count: number): number => Math.max(1, Math.round((count * tasks) / WHOLE));
  const kill = (victim: string, count: number): (readonly [Strike['what'], string])[] => Array.from({ length: share(count) }, () => ['kill', victim] as const);
  const frozen = shuffled(taskServices, random);
  const all: (readonly [Strike['what'], string])[] = [
    ...kill('nats', NATS_KILLS), ...kill('mariadb', 4), ...kill('redis', 4), ...Array.from({ length: share(4) }, () => ['flush', 'redis'] as const),
    ...[...services].flatMap((service) => kill(service, 2)), ...agents.flatMap((agent) => kill(agent, 2)),
    ...Array.from({ length: share(3) }, (_, at) => ['freeze', frozen[at % frozen.length] ?? 'compute'] as const),
  ];
  const span = (minutes * 60_000) / all.length;
  return shuffled(all, random).map(([what, victim], at) => ({ atMs: Math.round((at + random()) * span), what, victim, forMs: what === 'freeze' ? FREEZE_MS : what === 'flush' ? 0 : Math.round(random() * AWAY_MS) }));
}
