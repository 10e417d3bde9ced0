import { expect, it } from '@jest/globals';
import { inPortions } from './portions.ts';

/** So many rows, of which at most a portion goes at once. */
function rows(left: number): { asked: number[]; remove: (most: number) => Promise<number> } {
  const asked: number[] = [];
  return { asked, remove: (most) => {
    asked.push(most);
    const count = Math.min(most, left);
    left -= count;
    return Promise.resolve(count);
  } };
}

it('all go, a portion at a time, also where the last portion is a whole one', async () => {
  for (const [count, times] of [[0, 1], [9, 1], [10, 2], [35, 4]] as const) {
    const { asked, remove } = rows(count);
    expect(await inPortions(10, remove)).toBe(count);
    expect(asked).toEqual(Array.from({ length: times }, () => 10));
  }
});

it('it ends after the portion in which it is told to', async () => {
  const stop = new AbortController();
  const { asked, remove } = rows(100);
  expect(await inPortions(10, (most) => {
    if (asked.length === 2) stop.abort();
    return remove(most);
  }, stop.signal)).toBe(30);
});
