import { describe, expect, it } from '@jest/globals';
import { changesBetween, merged } from './history.ts';

describe('what an object was other than before', () => {
  it('names members with dots, lists as one value, and what came or went as null', () => {
    const before = { id: 'a', name: 'web', spec: { vcpus: 1, labels: {}, disks: ['x'] }, gone: 1 };
    const after = { id: 'a', name: 'web', spec: { vcpus: 2, labels: {}, disks: ['x', 'y'] }, come: { deep: true } };
    expect(changesBetween(before, after)).toEqual([
      { field: 'spec.vcpus', from: 1, to: 2 },
      { field: 'spec.disks', from: ['x'], to: ['x', 'y'] },
      { field: 'gone', from: 1, to: null },
      { field: 'come.deep', from: null, to: true },
    ]);
  });

  it('is silent about versions and times, and about an object that was not seen before', () => {
    const at = (version: number): Record<string, unknown> => ({ version, updatedAt: `${version}`, status: { state: 'running', observedAt: `${version}`, seq: version } });
    expect(changesBetween(at(1), at(2))).toEqual([]);
    expect(changesBetween(undefined, at(2))).toEqual([]);
    expect(changesBetween(at(1), undefined)).toEqual([]);
  });
});

describe('two lists by time', () => {
  const list = (...at: string[]): { at: string }[] => at.map((value) => ({ at: value }));

  it('become one, the newest first, and it says how far each was used', () => {
    const { items, first, second } = merged(list('9', '5', '1'), list('7', '6', '2'), 4);
    expect([items.map(({ at }) => at), first, second]).toEqual([['9', '7', '6', '5'], 2, 2]);
  });

  it('keep the order of each, whatever the times say', () => {
    expect(merged(list('3', '8'), list('5'), 9).items.map(({ at }) => at)).toEqual(['5', '3', '8']);
    expect(merged(list(), list(), 3)).toEqual({ items: [], first: 0, second: 0 });
  });
});
