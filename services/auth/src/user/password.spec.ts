import { describe, expect, it } from '@jest/globals';
import { digestOf, fitsDigest, fitsPassword, hashDigest, hashPassword, isOutdated } from './password.ts';

describe('a password', () => {
  it('fits its hash, alone and as the digest that outside clients send', async () => {
    const stored = await hashPassword('correct horse 🐴');
    expect(stored).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
    expect(await fitsPassword('correct horse 🐴', stored)).toBe(true);
    expect(await fitsDigest(digestOf('correct horse 🐴'), stored)).toBe(true);
    expect(await fitsPassword('correct horse', stored)).toBe(false);
    expect(await fitsPassword(digestOf('correct horse 🐴'), stored)).toBe(false);
    expect(await hashPassword('correct horse 🐴')).not.toBe(stored);
  });

  it.each([[undefined], [''], ['plain text'], ['$argon2id$v=19$m=1,t=1,p=1$$'], [`$2b$10$${'a'.repeat(53)}`]])('never fits %j', async (stored) => {
    expect(await fitsPassword('', stored)).toBe(false);
    expect(await fitsPassword('plain text', stored)).toBe(false);
  });

  it('is known to be hashed with the parameters of the past', async () => {
    const old = await hashDigest(digestOf('x'), { memoryKiB: 1024, passes: 1, lanes: 1 });
    expect([await fitsPassword('x', old), isOutdated(old), isOutdated(await hashPassword('x'))]).toEqual([true, true, false]);
  });

  it('is hashed as the digest in lower-case hex', () => {
    expect(digestOf('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  });
});
