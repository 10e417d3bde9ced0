import { describe, expect, it } from '@jest/globals';
import { VmState, type HostId } from '#contracts';
import { newUuid } from '#kernel';
import { consoleHost } from './console.ts';

const hostId = newUuid() as HostId;
const verdict = (state: VmState, over: { hostResponds?: boolean; at?: HostId | null; epoch?: number } = {}): string => {
  const found = consoleHost({ state, hostId: over.at === undefined ? hostId : over.at, epoch: 3 }, over.hostResponds ?? true, over.epoch);
  return found.ok ? found.value : found.fault.code;
};

describe('a VM has a console', () => {
  it('while its QEMU is there, on a host that responds', () => {
    const having = VmState.options.filter((state) => verdict(state) === hostId);
    expect(having.sort()).toEqual(['hibernating', 'migrating', 'paused', 'pausing', 'running', 'stopping']);
  });
  it.each([
    ['stopped', {}, 'WRONG_STATE'], ['hibernated', { hostResponds: false }, 'WRONG_STATE'], ['creating', { at: null }, 'WRONG_STATE'], ['running', { at: null }, 'WRONG_STATE'],
    ['unknown', {}, 'HOST_UNREACHABLE'], ['running', { hostResponds: false }, 'HOST_UNREACHABLE'],
    ['running', { epoch: 2 }, 'STALE_EPOCH'], ['running', { epoch: 3 }, hostId], ['stopped', { epoch: 2 }, 'WRONG_STATE'],
  ] as const)('%s %j: %s', (state, over, expected) => {
    expect(verdict(state, over)).toBe(expected);
  });
});
