import { randomBytes } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { derive, seal, unseal } from './seal.ts';

const master = randomBytes(32);
const plain = Buffer.from('a private key');

describe('a sealed value', () => {
  it('opens under its key and context alone', () => {
    const sealed = seal(master, plain, 'kid-1');
    expect(unseal(master, sealed, 'kid-1')?.equals(plain)).toBe(true);
    expect(unseal(randomBytes(32), sealed, 'kid-1')).toBeUndefined();
    expect(unseal(master, sealed, 'kid-2')).toBeUndefined();
    expect(seal(master, plain, 'kid-1')).not.toBe(sealed);
    expect(sealed).not.toContain(plain.toString('base64url'));
  });

  it('does not open when any part of it was changed', () => {
    const parts = seal(master, plain, 'kid-1').split('.');
    for (let index = 0; index < parts.length; index++) {
      const changed = parts.map((part, at) => (at === index ? `${part.startsWith('A') ? 'B' : 'A'}${part.slice(1)}` : part)).join('.');
      expect(unseal(master, changed, 'kid-1')).toBeUndefined();
    }
    for (const text of ['', 'v1', 'v1...', 'v1.AA.BB.CC', parts.slice(0, 3).join('.')]) expect(unseal(master, text, 'kid-1')).toBeUndefined();
  });

  it('is derived the same again, and differently for each purpose and subject', () => {
    const first = derive(master, 'api-token', 'x');
    expect(first).toMatch(/^[\w-]{43}$/);
    expect(derive(master, 'api-token', 'x')).toBe(first);
    expect(new Set([first, derive(master, 'refresh-token', 'x'), derive(master, 'api-token', 'y'), derive(randomBytes(32), 'api-token', 'x')]).size).toBe(4);
  });
});
