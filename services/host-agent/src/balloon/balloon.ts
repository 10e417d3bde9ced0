// What is known of one guest's balloon, from one look at it to the next. Pure: whether a driver is there, whether the guest
// follows, what is told about it, and when that is worth telling.
import type { GuestMemory } from '#contracts';

/** What QEMU shows. `lastWordAt` = the guest's last statistics, on QEMU's clock; 0 = it never sent any. */
export interface BalloonReading { readonly actualBytes: number; readonly availableBytes: number | null; readonly lastWordAt: number }
export interface Balloon extends BalloonReading {
  readonly targetBytes: number;
  /** When it last moved, was told another target or was where it should be; ms, monotonic. */
  readonly movedAtMs: number;
  /** When the guest's statistics last changed; null = they never came. */
  readonly heardAtMs: number | null;
  readonly lookedAtMs: number;
}

/** How often the guest is asked for its statistics, s. */
export const statisticsEveryS = 5;
/** A driver that says nothing for so long is gone: the guest has started something else. */
const silentAfterMs = 6 * statisticsEveryS * 1000;
const stuckAfterMs = 30_000;
const MiB = 1024 * 1024;
/** Guests give and take in pieces of their own: this close is there. */
const closeEnoughBytes = 2 * MiB;

const isThere = ({ actualBytes, targetBytes }: Pick<Balloon, 'actualBytes' | 'targetBytes'>): boolean => Math.abs(actualBytes - targetBytes) <= closeEnoughBytes;

/** After another look. Without one before, the guest is taken to have what it shall have. */
export function seen(before: Balloon | null, reading: BalloonReading, nowMs: number): Balloon {
  const { actualBytes, lastWordAt } = reading;
  if (before === null) return { ...reading, targetBytes: actualBytes, heardAtMs: lastWordAt === 0 ? null : nowMs, movedAtMs: nowMs, lookedAtMs: nowMs };
  const { targetBytes } = before;
  // Nobody looked meanwhile, because the guest was held still: its silence means nothing.
  const wasAway = nowMs - before.lookedAtMs > silentAfterMs / 2;
  const heard = lastWordAt !== before.lastWordAt || (wasAway && before.heardAtMs !== null);
  const moved = actualBytes !== before.actualBytes || wasAway || isThere({ actualBytes, targetBytes });
  return { ...reading, targetBytes, heardAtMs: heard ? nowMs : before.heardAtMs, movedAtMs: moved ? nowMs : before.movedAtMs, lookedAtMs: nowMs };
}

export const aimed = (balloon: Balloon, targetBytes: number, nowMs: number): Balloon =>
  (targetBytes === balloon.targetBytes ? balloon : { ...balloon, targetBytes, movedAtMs: nowMs });

export const hasDriver = ({ heardAtMs, lookedAtMs }: Balloon): boolean => heardAtMs !== null && lookedAtMs - heardAtMs <= silentAfterMs;

export function toldOf(balloon: Balloon): GuestMemory {
  const { actualBytes, targetBytes, availableBytes, movedAtMs, lookedAtMs } = balloon;
  const state = (): GuestMemory['balloon'] => {
    if (!hasDriver(balloon)) return 'no-driver';
    if (isThere(balloon)) return 'settled';
    return lookedAtMs - movedAtMs > stuckAfterMs ? 'stuck' : 'moving';
  };
  return { balloon: state(), actualBytes, targetBytes, availableBytes: hasDriver(balloon) ? availableBytes : null };
}

/** Numbers that wander a little, as those of every guest do, are not told again and again. */
export function worthTelling(told: GuestMemory | null, now: GuestMemory, memoryBytes: number): boolean {
  if (told === null || told.balloon !== now.balloon || told.targetBytes !== now.targetBytes) return true;
  const wandered = (a: number | null, b: number | null): boolean => (a === null) !== (b === null) || Math.abs((a ?? 0) - (b ?? 0)) > memoryBytes / 8;
  return wandered(told.actualBytes, now.actualBytes) || wandered(told.availableBytes, now.availableBytes);
}
