// Several are asked of whom one at most has an answer.

/** The first value that is there, without waiting for the others; undefined when all have ended without one. Rejects when one rejects before. */
export const firstDefined = <T>(asked: readonly Promise<T | undefined>[]): Promise<T | undefined> =>
  new Promise((resolve, reject) => {
    for (const one of asked) one.then((value) => { if (value !== undefined) resolve(value); }, reject);
    Promise.all(asked).then(() => { resolve(undefined); }, reject);
  });
