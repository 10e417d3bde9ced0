import { describe, expect, it } from '@jest/globals';
import { until } from '#testing';
import { batchesOf } from './batches.ts';

async function* all(...items: number[]): AsyncGenerator<number> {
  for (const item of items) yield Promise.resolve(item);
}

async function collected(items: AsyncIterable<number>, most: number): Promise<number[][]> {
  const batches: number[][] = [];
  for await (const batch of batchesOf(items, most)) batches.push(batch);
  return batches;
}

describe('batches', () => {
  it('hold what is there, and no more than wanted', async () => {
    expect(await collected(all(1, 2, 3, 4, 5), 2)).toEqual([[1, 2], [3, 4], [5]]);
    expect(await collected(all(1, 2, 3), 10)).toEqual([[1, 2, 3]]);
    expect(await collected(all(), 10)).toEqual([]);
  });

  it('do not wait for what is not there', async () => {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    async function* halting(): AsyncGenerator<number> {
      yield 1;
      await promise;
      yield 2;
    }
    const seen: number[][] = [];
    for await (const batch of batchesOf(halting(), 10)) {
      seen.push(batch);
      resolve(undefined);
    }
    expect(seen).toEqual([[1], [2]]);
  });

  it('let go at once of a stream from which nothing comes', async () => {
    async function* silent(): AsyncGenerator<number> {
      yield 1;
      await new Promise(() => undefined);
    }
    await expect((async () => {
      for await (const batch of batchesOf(silent(), 3)) throw new Error(`no more than ${batch.length}`);
    })()).rejects.toThrow('no more than 1');
  });

  it('end the stream when nobody wants more, and pass on its failure', async () => {
    let ended = false;
    async function* endless(): AsyncGenerator<number> {
      try {
        for (let item = 0; ; item++) yield Promise.resolve(item);
      } finally {
        ended = true;
      }
    }
    for await (const batch of batchesOf(endless(), 3)) if (batch.includes(4)) break;
    await until('it has ended', () => ended);
    async function* failing(): AsyncGenerator<number> {
      yield Promise.resolve(1);
      throw new Error('broken');
    }
    await expect(collected(failing(), 3)).rejects.toThrow('broken');
  });
});
