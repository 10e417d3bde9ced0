import { describe, expect, it } from '@jest/globals';
import { judge, SILENCE_MS, type Watched } from './liveness.ts';

const host = (change: Partial<Watched> = {}): Watched => ({ hostId: 'h', state: 'connected', heardAt: 100_000, ...change });
const at = (now: number, change = {}) => ({ now, listeningSince: 0, canary: true, ...change });

describe('liveness', () => {
  it('leaves a host alone that is heard', () => expect(judge([host()], at(100_000 + SILENCE_MS - 1))).toEqual([]));
  it('gives up a host that is silent for long enough', () => expect(judge([host()], at(100_000 + SILENCE_MS))).toEqual([{ hostId: 'h', state: 'not-responding' }]));
  it('says so once', () => expect(judge([host({ state: 'not-responding' })], at(200_000))).toEqual([]));
  it('takes a host back at its first heartbeat', () => expect(judge([host({ state: 'not-responding', heardAt: 199_999 })], at(200_000))).toEqual([{ hostId: 'h', state: 'connected' }]));
  it('blames nobody while the bus does not carry our own messages', () => expect(judge([host()], at(200_000, { canary: false }))).toEqual([]));
  it('waits after it began to listen anew', () => {
    expect(judge([host()], at(200_000, { listeningSince: 200_000 - SILENCE_MS + 1 }))).toEqual([]);
    expect(judge([host({ heardAt: null })], at(200_000, { listeningSince: 200_000 - SILENCE_MS }))).toEqual([{ hostId: 'h', state: 'not-responding' }]);
  });
  it('takes a host back even while the canary fails', () => expect(judge([host({ state: 'not-responding', heardAt: 199_999 })], at(200_000, { canary: false }))).toEqual([{ hostId: 'h', state: 'connected' }]));
});
