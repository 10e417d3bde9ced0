import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Pieces } from './pieces.ts';

describe('pieces', () => {
  it('give back what went in, whatever the chunks were, each but the last of full size', () => {
    fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 20 }), fc.integer({ min: 1, max: 30 }), (chunks, size) => {
      const pieces = new Pieces(size);
      const full = chunks.flatMap((chunk) => pieces.add(Buffer.from(chunk)));
      const { last, sizeBytes, sha256 } = pieces.end();
      const all = Buffer.concat(chunks);
      const cut = last ? [...full, last] : full;
      expect(full.every(({ data }) => data.length === size)).toBe(true);
      expect(cut.map(({ offset }) => offset)).toEqual(cut.map((_, index) => index * size));
      expect(Buffer.concat(cut.map(({ data }) => data)).equals(all)).toBe(true);
      expect([sizeBytes, sha256]).toEqual([all.length, createHash('sha256').update(all).digest('hex')]);
    }));
  });
});
