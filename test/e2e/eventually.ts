// Waits for something to become true, by asking again until a bound; what did not happen is said with what was seen last.
import { setTimeout as sleep } from 'node:timers/promises';

export interface Patience { readonly withinMs?: number; readonly everyMs?: number }

/** The first answer of `probe` that is neither null, undefined nor false. An error of the probe counts as "not yet". */
export async function eventually<T>(what: string, probe: () => Promise<T> | T, { withinMs = 30_000, everyMs = 100 }: Patience = {}): Promise<NonNullable<T>> {
  const giveUpAt = performance.now() + withinMs;
  for (;;) {
    let seen: unknown;
    try {
      const answer = await probe();
      if (answer !== null && answer !== undefined && answer !== false) return answer;
      seen = answer;
    } catch (error) {
      seen = error;
    }
    if (performance.now() > giveUpAt) throw new Error(`${what}: not within ${withinMs} ms; last seen: ${seen instanceof Error ? seen.message : String(seen)}`, { cause: seen });
    await sleep(everyMs);
  }
}
