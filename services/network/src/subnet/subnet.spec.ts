import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { Result } from '#kernel';
import { orThrow } from '#kernel';
import { assignable, checkWanted, firstFree, formatIpv4, isHostOf, parseIpv4, parseNet, planRange, searchWindows } from './subnet.ts';
import type { Net } from './subnet.ts';

const address = fc.integer({ min: 0, max: 0xffffffff });
const net = fc.tuple(address, fc.integer({ min: 8, max: 30 })).map(([any, prefix]): Net => {
  const size = 2 ** (32 - prefix);
  const network = any - (any % size);
  return { network, broadcast: network + size - 1, prefix };
});
const pathOf = (result: Result<unknown>): unknown => (result.ok ? undefined : (result.fault.details?.['issues'] as { path: string }[])[0]?.path);

describe('addresses', () => {
  it('are the same after a way through text', () => {
    fc.assert(fc.property(address, (value) => parseIpv4(formatIpv4(value)) === value));
  });
});

describe('a net', () => {
  it('is what its text says, whatever its place and size', () => {
    fc.assert(fc.property(net, (value) => {
      expect(orThrow(parseNet(`${formatIpv4(value.network)}/${value.prefix}`))).toEqual(value);
    }));
  });

  it.each(['10.0.0.1/24', '10.0.0.0/31', '10.0.0.0/32', '10.0.0.0/7', '0.0.0.0/0'])('%s is refused with the field', (cidr) => {
    expect(pathOf(parseNet(cidr))).toBe('cidr');
  });
});

describe('the range of a subnet', () => {
  it('is every host of the net unless told otherwise', () => {
    fc.assert(fc.property(net, (value) => {
      const range = orThrow(planRange(value, null, undefined));
      expect(range).toEqual({ from: value.network + 1, to: value.broadcast - 1 });
      expect(assignable(range, null)).toBe(2 ** (32 - value.prefix) - 2);
      expect(isHostOf(value, range.from) && isHostOf(value, range.to)).toBe(true);
    }));
  });

  it.each([
    ['10.0.0.0', undefined, 'gateway'], ['10.0.0.255', undefined, 'gateway'], ['10.0.1.1', undefined, 'gateway'],
    [null, { from: '10.0.0.0', to: '10.0.0.9' }, 'range.from'], [null, { from: '10.0.0.1', to: '10.0.0.255' }, 'range.to'],
    [null, { from: '10.0.0.9', to: '10.0.0.8' }, 'range'], ['10.0.0.5', { from: '10.0.0.5', to: '10.0.0.5' }, 'range'],
  ] as const)('gateway %s, range %j: the fault names %s', (gateway, range, path) => {
    expect(pathOf(planRange(orThrow(parseNet('10.0.0.0/24')), gateway, range))).toBe(path);
  });
});

describe('an address', () => {
  it.each([['10.0.0.9', 'ip'], ['10.0.0.31', 'ip'], ['10.0.0.15', 'ip'], ['10.0.0.10', undefined], ['10.0.0.30', undefined]])('%s wanted of 10..30 with gateway 15 → %s', (wanted, path) => {
    const range = { from: parseIpv4('10.0.0.10'), to: parseIpv4('10.0.0.30') };
    expect(pathOf(checkWanted(range, parseIpv4('10.0.0.15'), wanted))).toBe(path);
  });

  it('is found in whatever window it lies, until every one is taken', () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 0, max: 80 }), fc.integer({ min: 1, max: 17 }), fc.option(fc.integer({ min: 100, max: 160 })), (size, offset, windowSize, gateway) => {
      const range = { from: 100, to: 100 + size - 1 };
      const taken = new Set<number>();
      let cursor = 90 + offset;
      for (;;) {
        const free = searchWindows(range, cursor, windowSize).map((window) => firstFree(window, gateway, taken)).find((found) => found !== undefined);
        if (free === undefined) break;
        expect(taken.has(free)).toBe(false);
        taken.add(free);
        cursor = free + 1;
      }
      expect(taken.size).toBe(assignable(range, gateway));
      expect(taken.has(gateway ?? -1)).toBe(false);
    }));
  });

  it('that was just given back is the last to be assigned again', () => {
    const range = { from: 1, to: 4 };
    const taken = new Set([1, 2]);
    taken.delete(2);
    expect(searchWindows(range, 3, 10).map((window) => firstFree(window, null, taken))[0]).toBe(3);
  });
});
