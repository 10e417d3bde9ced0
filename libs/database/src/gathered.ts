// Questions for single rows that come in one turn of the event loop become one query: under load, most of what such a
// question costs is its round trip. Nobody is answered with what is older than his question, since the query comes after
// all of them; equal questions of a turn are one.
const MOST = 100;

interface Asked<T> {
  readonly answer: Promise<T | undefined>;
  readonly resolve: (found: T | undefined) => void;
  readonly reject: (error: unknown) => void;
}

/** `load` reads the rows of these ids, at most `most` at once; the answer is undefined where it has none. What it throws, all who asked get. */
export function gathered<T extends { readonly id: string }>(load: (ids: readonly string[]) => Promise<readonly T[]>, most = MOST): (id: string) => Promise<T | undefined> {
  let asked = new Map<string, Asked<T>>();
  const flush = (): void => {
    const all = [...asked];
    asked = new Map();
    for (let at = 0; at < all.length; at += most) void answer(load, all.slice(at, at + most));
  };
  return (id) => {
    const known = asked.get(id);
    if (known !== undefined) return known.answer;
    const { promise, resolve, reject } = Promise.withResolvers<T | undefined>();
    asked.set(id, { answer: promise, resolve, reject });
    if (asked.size === 1) setImmediate(flush);
    return promise;
  };
}

async function answer<T extends { readonly id: string }>(load: (ids: readonly string[]) => Promise<readonly T[]>, asked: readonly (readonly [string, Asked<T>])[]): Promise<void> {
  try {
    const found = new Map((await load(asked.map(([id]) => id))).map((row) => [row.id, row]));
    for (const [id, { resolve }] of asked) resolve(found.get(id));
  } catch (error) {
    for (const [, { reject }] of asked) reject(error);
  }
}
