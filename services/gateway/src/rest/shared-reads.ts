// Equal questions of one caller that are open at the same time are asked once. Nobody gets an answer older than his
// question: who comes while one is on its way waits for the next, which is asked when that one has ended, so what was
// written before a read was sent is in what the read answers.

interface Lane<T> {
  next: { readonly answer: Promise<T>; readonly ask: () => void } | undefined;
}

export class SharedReads<T> {
  private readonly lanes = new Map<string, Lane<T>>();

  /** `key` holds all that the answer depends on, the caller included. */
  ask(key: string, question: () => Promise<T>): Promise<T> {
    const lane = this.lanes.get(key);
    if (lane !== undefined) return (lane.next ??= waiting(question)).answer;
    const opened: Lane<T> = { next: undefined };
    this.lanes.set(key, opened);
    return this.follow(key, opened, question());
  }

  get open(): number {
    return this.lanes.size;
  }

  private follow(key: string, lane: Lane<T>, answer: Promise<T>): Promise<T> {
    const goOn = (): void => {
      const { next } = lane;
      lane.next = undefined;
      if (next === undefined) this.lanes.delete(key);
      else {
        next.ask();
        void this.follow(key, lane, next.answer).catch(() => undefined); // told to those who wait for it
      }
    };
    answer.then(goOn, goOn);
    return answer;
  }
}

function waiting<T>(question: () => Promise<T>): NonNullable<Lane<T>['next']> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  return { answer: promise, ask: () => { question().then(resolve, reject); } };
}
