// Work side by side of which none may go on behind its caller's back.

/** Like `Promise.all`, but waits for all also when one of them rejects; rejects then with the first in this order. */
export async function allEnded<T extends readonly Promise<unknown>[]>(...work: T): Promise<{ -readonly [I in keyof T]: Awaited<T[I]> }> {
  await Promise.allSettled(work);
  return Promise.all(work);
}
