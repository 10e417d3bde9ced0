/**
 * Removes rows a portion at a time, so that nobody waits for long: until `remove`, which takes away at most so many and answers how
 * many, finds less than a portion. Answers how many are gone.
 */
export async function inPortions(portion: number, remove: (most: number) => Promise<number>, signal?: AbortSignal): Promise<number> {
  for (let gone = 0; ;) {
    const count = await remove(portion);
    gone += count;
    if (count < portion || signal?.aborted === true) return gone;
  }
}
