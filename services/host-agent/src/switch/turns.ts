// One change at a time, and a watch that notices a change of state: the order of things, without I/O of its own.

/** Answers a function that runs what it is given strictly one after the other, whatever the one before came to. */
export function oneAtATime(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const turn = last.then(work, work);
    last = turn.then(() => undefined, () => undefined);
    return turn;
  };
}

/**
 * Looks every `everyMs`; when `look` answers another value than before (and not null), calls `changed` until it answers
 * true. Answers the way to stop, which waits for what is under way.
 */
export function watch(everyMs: number, look: () => Promise<string | null>, changed: () => Promise<boolean>): () => Promise<void> {
  let seen: string | null = null;
  let first = true;
  let busy: Promise<void> | undefined;
  const round = async (): Promise<void> => {
    const now = await look();
    if (now === null || now === seen) return;
    if (first || (await changed())) seen = now;
    first = false;
  };
  const timer = setInterval(() => {
    busy ??= round().then(() => { busy = undefined; }, () => { busy = undefined; });
  }, everyMs);
  timer.unref();
  return async () => {
    clearInterval(timer);
    await busy;
  };
}
