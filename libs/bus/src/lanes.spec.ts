import { describe, expect, it } from '@jest/globals';
import { Lanes } from './lanes.ts';

/** Work that ends when the test says so. */
class Bench {
  readonly begun: string[] = [];
  now = 0;
  readonly lanes: Lanes<string>;
  private readonly ends = new Map<string, () => void>();

  constructor(atOnce: number) {
    this.lanes = new Lanes(atOnce, (entry: string) => {
      this.begun.push(entry);
      return new Promise((resolve) => this.ends.set(entry, resolve));
    }, { monotonic: () => this.now, now: () => this.now });
  }

  add(...entries: string[]): void {
    for (const entry of entries) this.lanes.add(entry.charAt(0), entry);
  }

  async end(entry: string): Promise<void> {
    const next = this.lanes.end();
    this.ends.get(entry)?.();
    await next;
    await new Promise((resolve) => { setImmediate(resolve); });
  }
}

describe('lanes', () => {
  it('work on one entry of each at a time, in the order in which they came', async () => {
    const bench = new Bench(8);
    bench.add('a1', 'a2', 'b1', 'a3');
    expect(bench.begun).toEqual(['a1', 'b1']);
    await bench.end('a1');
    await bench.end('a2');
    expect(bench.begun).toEqual(['a1', 'b1', 'a2', 'a3']);
    expect([bench.lanes.busy, bench.lanes.size]).toEqual([2, 2]);
    await bench.end('b1');
    await bench.end('a3');
    await bench.lanes.idle();
    expect([bench.lanes.busy, bench.lanes.size]).toEqual([0, 0]);
  });

  it('work on so many at once, and one with much to do takes turns with the others', async () => {
    const bench = new Bench(1);
    bench.add('a1', 'a2', 'a3', 'b1');
    for (const entry of ['a1', 'b1', 'a2']) await bench.end(entry);
    expect(bench.begun).toEqual(['a1', 'b1', 'a2', 'a3']);
  });

  it('say what moves, and not what waits for work that does not end', async () => {
    const bench = new Bench(2);
    bench.add('a1', 'a2', 'b1', 'c1');
    expect(bench.lanes.moving(100).sort()).toEqual(['a1', 'a2', 'b1', 'c1']);
    bench.now = 90;
    await bench.end('b1');
    bench.add('d1');
    bench.now = 150;
    expect(bench.lanes.moving(100).sort()).toEqual(['c1', 'd1']);
    bench.now = 300;
    expect(bench.lanes.moving(100)).toEqual([]);
  });

  it('give back what has not begun', async () => {
    const bench = new Bench(1);
    bench.add('a1', 'a2', 'b1', 'b2');
    expect(bench.lanes.drop()).toEqual(['a2', 'b1', 'b2']);
    expect(bench.lanes.size).toBe(1);
    await bench.end('a1');
    await bench.lanes.idle();
    expect([bench.begun, bench.lanes.busy, bench.lanes.size]).toEqual([['a1'], 0, 0]);
  });
});
