// Waits in a test for something to become so, by asking again; the bound only keeps a broken test from hanging.
import { sleep } from '#kernel';

/** The first answer of `look` that is neither null, undefined nor false. Throws with `what` when there was none within `withinMs`. */
export async function until<T>(what: string, look: () => Promise<T> | T, withinMs = 30_000): Promise<Exclude<T, null | undefined | false>> {
  const giveUpAt = performance.now() + withinMs;
  for (;;) {
    const seen = await look();
    if (seen !== null && seen !== undefined && seen !== false) return seen as Exclude<T, null | undefined | false>;
    if (performance.now() > giveUpAt) throw new Error(`not within ${withinMs} ms: ${what}`);
    await sleep(10);
  }
}
