// Time left, relative: the only form of a deadline that crosses a process, because absolute times break when clocks jump.
import type { Clock } from '#kernel';
import { sleep, systemClock } from '#kernel';

/** The longest time that any caller may grant, ms. */
export const LONGEST_TIMEOUT_MS = 3_600_000;

export interface Deadline {
  /** Milliseconds left; 0 when it has passed, never negative. */
  leftMs(): number;
  expired(): boolean;
}

export function deadlineIn(ms: number, clock: Clock = systemClock): Deadline {
  const end = clock.monotonic() + Math.min(ms, LONGEST_TIMEOUT_MS);
  const leftMs = (): number => Math.max(0, end - clock.monotonic());
  return { leftMs, expired: () => leftMs() === 0 };
}

/** The value of `Tok-Timeout-Ms`: whole milliseconds, 1 to an hour; undefined when it is anything else. */
export function parseTimeout(text: string): number | undefined {
  if (!/^\d{1,7}$/.test(text)) return undefined;
  const ms = Number(text);
  return ms >= 1 && ms <= LONGEST_TIMEOUT_MS ? ms : undefined;
}

/** What `work` gives, or `late` after `ms`; leaves no timer behind. */
export async function atMost<T>(ms: number, work: Promise<T>): Promise<T | 'late'> {
  const enough = new AbortController();
  try {
    return await Promise.race([work, sleep(ms, enough.signal).then(() => 'late' as const)]);
  } finally {
    enough.abort();
  }
}
