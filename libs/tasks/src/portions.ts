// Removing rows that are no longer promised to anybody: a portion at a time, so that nobody waits for long, and no less than come in.
const PORTION = 1_000;
/** Then others have a turn; what is left goes at the next look. */
const MOST = 100_000;

/** `remove` takes away at most so many rows and answers how many. Answers how many are gone. */
export async function inPortions(remove: (most: number) => Promise<number>): Promise<number> {
  for (let gone = 0; ;) {
    const count = await remove(PORTION);
    gone += count;
    if (count < PORTION || gone >= MOST) return gone;
  }
}
