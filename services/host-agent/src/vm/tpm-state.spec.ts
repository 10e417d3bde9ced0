import { describe, expect, test } from '@jest/globals';
import { headerBytes, kindOfState } from './tpm-state.ts';

const header = (begin: string, length = headerBytes): Buffer => Buffer.concat([Buffer.from(begin, 'latin1'), Buffer.alloc(length)]).subarray(0, length);

describe('the state of a TPM', () => {
  test.each([
    ['a volume that was just made', header(''), 'new'],
    ['what swtpm has written', header('nilmptws\x01'), 'state'],
    ['anything else', header('QFI\xfb'), 'damaged'],
    ['zeros with something behind them', Buffer.concat([Buffer.alloc(headerBytes - 1), Buffer.from([1])]), 'damaged'],
    ['a file that was cut off', header('nilmptws', 20), 'damaged'],
    ['an empty file', Buffer.alloc(0), 'damaged'],
  ])('%s is told apart', (_what, bytes, kind) => {
    expect(kindOfState(bytes)).toBe(kind);
  });
});
