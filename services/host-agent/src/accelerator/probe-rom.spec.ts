import { describe, expect, it } from '@jest/globals';
import { createHash } from 'node:crypto';
import { probeRom, program } from './probe-rom.ts';

describe('the probe guest', () => {
  it('has lines that neither overlap nor leave a gap that would be executed', () => {
    let end = 0;
    for (const [offset, bytes, meaning] of program) {
      expect({ meaning, offset }).toEqual({ meaning, offset: end });
      end = offset + bytes.split(' ').length;
    }
  });

  it('starts at the reset vector and jumps to its program', () => {
    const rom = probeRom();
    expect(rom.length).toBe(65_536);
    expect(rom[0xfff0]).toBe(0xea);
    const segment = rom.readUInt16LE(0xfff3);
    expect((segment << 4) + rom.readUInt16LE(0xfff1)).toBe(0xff000);
    expect(rom[0xf000]).toBe(0xfa);
  });

  it('is the image that was proven on real processors', () => {
    expect(createHash('sha256').update(probeRom()).digest('hex')).toBe('d4431daf7b4bd8c1f47ba8423247b0b44576f784ba114ec227978f824213de52');
  });
});
