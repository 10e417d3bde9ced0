import { describe, expect, it } from '@jest/globals';
import { newUuid } from './id.ts';
import { fillRandom, randomHex } from './random.ts';

const v7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe('a UUID', () => {
  it('is one of version 7, each greater than the one before, also where very many are made within a moment', () => {
    const ids = Array.from({ length: 20_000 }, () => newUuid());
    expect(ids.filter((id) => !v7.test(id))).toEqual([]);
    expect(ids.filter((id, index) => index > 0 && id <= ids[index - 1]!)).toEqual([]);
  });

  it('tells when it was made', () => {
    const at = Date.now() + 60_000;
    expect(parseInt(newUuid(at).replaceAll('-', '').slice(0, 12), 16)).toBe(at);
  });

  it('has no part in common with another that only chance gives', () => {
    const parts = Array.from({ length: 20_000 }, () => newUuid().slice(19));
    expect(new Set(parts).size).toBe(parts.length);
  });
});

describe('random bytes', () => {
  it('are given to one only, whatever the sizes', () => {
    const all: string[] = [];
    for (let count = 0; count < 3_000; count++) {
      const bytes = Buffer.alloc(8 + (count % 9));
      fillRandom(bytes);
      all.push(bytes.toString('hex').slice(0, 16), randomHex(8));
    }
    expect(all.every((text) => /^[0-9a-f]{16}$/.test(text))).toBe(true);
    expect(new Set(all).size).toBe(all.length);
  });
});
