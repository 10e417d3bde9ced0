import { describe, expect, it } from '@jest/globals';
import { headerBytes, kindOfVars, mostBytes, offsetOf } from './uefi-vars.ts';

function header(signature: string, length: bigint): Buffer {
  const bytes = Buffer.alloc(headerBytes);
  bytes.writeBigUInt64LE(length, 32);
  bytes.write(signature, 40, 'latin1');
  return bytes;
}

describe('the beginning of UEFI variables', () => {
  it('says how large they are', () => { expect(kindOfVars(header('_FVH', 540_672n))).toBe(540_672); });
  it('is new as long as it is nought, and a length alone makes no variables', () => {
    expect(kindOfVars(Buffer.alloc(headerBytes))).toBe('new');
    expect(kindOfVars(header('', 540_672n))).toBe('damaged');
    expect(kindOfVars(header('_FVX', 540_672n))).toBe('damaged');
  });
  it('is damaged when there is not as much as a header', () => { expect(kindOfVars(Buffer.alloc(headerBytes - 1))).toBe('damaged'); });
  it('lies apart for each kind of firmware', () => { expect(offsetOf('uefi-secure') - offsetOf('uefi')).toBe(mostBytes); });
});
