import { describe, expect, it } from '@jest/globals';
import { Lanes } from './lanes.ts';

/** Work that ends when the test says so. An entry is named by its lane and its number, with its party before it where there are several: `ann/a1`. */
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
    for (const entry of entries) this.lanes.add(partyOf(entry), entry.slice(0, -1), entry);
  }

  async end(entry: string): Promise<void> {
    const next = this.lanes.end(partyOf(entry));
    this.ends.get(entry)?.();
    await next;
    await new Promise((resolve) => { setImmediate(resolve); });
  }

  /** In the order in which they began, from that one on, with what begins meanwhile. */
  async endFrom(index: number): Promise<void> {
    for (let at = index; at < this.begun.length; at++) await this.end(this.begun[at] ?? '');
  }
}
const partyOf = (entry: string): string => (entry.includes('/') ? entry.split('/')[0] ?? '' : '');

describe('lanes', () => {
  it('work on one entry of each at a time, in the order in which they came', async () => {
    const bench = new Bench(8);
    bench.add('a1', 'a2', 'b1', 'a3');
    expect(bench.begun).toEqual(['a1', 'b1']);
    await bench.end('a1');
    await bench.end('a2');
    expect(bench.begun).toEqual(['a1', 'b1', 'a2', 'a3']);
    expect(bench.lanes.of('')).toEqual({ lanes: 2, entries: 2 });
    await bench.end('b1');
    await bench.end('a3');
    await bench.lanes.idle();
    expect([bench.lanes.busy, bench.lanes.of('')]).toEqual([0, { lanes: 0, entries: 0 }]);
  });

  it('work on so many at once, and one with much to do takes turns with the others', async () => {
    const bench = new Bench(1);
    bench.add('a1', 'a2', 'a3', 'b1');
    for (const entry of ['a1', 'b1', 'a2']) await bench.end(entry);
    expect(bench.begun).toEqual(['a1', 'b1', 'a2', 'a3']);
  });

  it('give the next place to the party with the fewest at work, whatever the others have waiting', async () => {
    const bench = new Bench(2);
    bench.add('ann/a1', 'ann/b1', 'ann/c1', 'ann/d1', 'ann/e1', 'bob/a1', 'bob/b1', 'eve/a1');
    expect(bench.begun).toEqual(['ann/a1', 'ann/b1']);
    await bench.end('ann/a1');
    await bench.end('ann/b1'); // neither bob nor eve is behind ann's other three
    expect(bench.begun.slice(2)).toEqual(['bob/a1', 'eve/a1']);
    await bench.endFrom(2);
    expect(bench.begun.slice(4)).toEqual(['ann/c1', 'bob/b1', 'ann/d1', 'ann/e1']);
  });

  it('fill every place with one party’s work while nobody else has any', () => {
    const bench = new Bench(3);
    bench.add('ann/a1', 'ann/b1', 'ann/c1', 'ann/d1');
    expect(bench.begun).toEqual(['ann/a1', 'ann/b1', 'ann/c1']);
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
    bench.add('a1', 'a2', 'b1', 'b2', 'bob/c1');
    expect(bench.lanes.drop()).toEqual(['a2', 'b1', 'b2', 'bob/c1']);
    expect(bench.lanes.of('')).toEqual({ lanes: 1, entries: 1 });
    await bench.lanes.end('bob');
    await bench.end('a1');
    await bench.lanes.idle();
    expect([bench.begun, bench.lanes.busy]).toEqual([['a1'], 0]);
  });
});
