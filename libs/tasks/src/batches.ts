// Items of a stream in batches of what is there: one that comes alone is not kept waiting for others.

const later = Symbol('later');

/** At most `most` in a batch, which is never empty; what has been taken from the stream and not yielded is at most one batch. */
export async function* batchesOf<T>(items: AsyncIterable<T>, most: number): AsyncGenerator<T[], void, undefined> {
  const iterator = items[Symbol.asyncIterator]();
  let next = iterator.next();
  try {
    for (;;) {
      const first = await next;
      if (first.done === true) return;
      const batch = [first.value];
      next = iterator.next();
      while (batch.length < most) {
        const ready = await Promise.race([next, soon()]);
        if (ready === later || ready.done === true) break;
        batch.push(ready.value);
        next = iterator.next();
      }
      yield batch;
    }
  } finally {
    // Not waited for: it comes behind an item that may be long in coming.
    next.then(() => iterator.return?.(), () => undefined).catch(() => undefined);
  }
}

/** Behind everything that is ready now. */
const soon = (): Promise<typeof later> => new Promise((resolve) => { setImmediate(() => { resolve(later); }); });
