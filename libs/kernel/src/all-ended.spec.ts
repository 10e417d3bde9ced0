import { describe, expect, it } from '@jest/globals';
import { allEnded } from './all-ended.ts';

describe('work side by side', () => {
  it('answers what all of it came to, in its order', async () => {
    const [one, two] = await allEnded(Promise.resolve(1), Promise.resolve('two'));
    expect([one, two]).toEqual([1, 'two']);
    expect(await allEnded()).toEqual([]);
  });

  it('is waited for also when some of it fails, and the first in order says why', async () => {
    const slow = Promise.withResolvers<undefined>();
    let over = false;
    const all = allEnded(slow.promise.then(() => { throw new Error('first'); }), Promise.reject(new Error('second'))).finally(() => { over = true; });
    await new Promise((resolve) => { setImmediate(resolve); });
    expect(over).toBe(false);
    slow.resolve(undefined);
    await expect(all).rejects.toThrow('first');
  });
});
