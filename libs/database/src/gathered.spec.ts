import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { gathered } from './gathered.ts';

const rowOf = (id: string) => ({ id, text: `row ${id}` });

describe('reads of single rows', () => {
  it('of one turn are one query, equal ones are one, and who is not there is undefined', async () => {
    const loads: (readonly string[])[] = [];
    const find = gathered((ids) => { loads.push(ids); return Promise.resolve(ids.filter((id) => id !== 'c').map(rowOf)); });
    expect(await Promise.all(['a', 'b', 'a', 'c'].map(find))).toEqual([rowOf('a'), rowOf('b'), rowOf('a'), undefined]);
    expect(loads).toEqual([['a', 'b', 'c']]);
  });

  it('are never answered with a query that is older than they are', async () => {
    let now = 'before';
    const first = Promise.withResolvers<undefined>();
    let queries = 0;
    const find = gathered(async (ids) => {
      const seen = now;
      if (queries++ === 0) await first.promise;
      return ids.map((id) => ({ id, seen }));
    });
    const early = find('a');
    await turn();
    now = 'after';
    const late = find('a');
    expect(await late).toEqual({ id: 'a', seen: 'after' });
    first.resolve(undefined);
    expect(await early).toEqual({ id: 'a', seen: 'before' });
  });

  it('are asked for in parts of a size', async () => {
    const loads: number[] = [];
    const find = gathered((ids) => { loads.push(ids.length); return Promise.resolve(ids.map(rowOf)); }, 3);
    await Promise.all(Array.from({ length: 7 }, (_, index) => find(String(index))));
    expect(loads).toEqual([3, 3, 1]);
  });

  it('fail together, and the next one is asked for anew', async () => {
    let broken = true;
    const find = gathered((ids) => (broken ? Promise.reject(new Error('away')) : Promise.resolve(ids.map(rowOf))));
    expect((await Promise.allSettled([find('a'), find('b')])).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    broken = false;
    expect(await find('a')).toEqual(rowOf('a'));
  });
});
