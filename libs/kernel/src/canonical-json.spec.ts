import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { bodyHash, canonicalJson } from './canonical-json.ts';

/** The same value with the members of its objects in another order. */
function turned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(turned);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).reverse().map(([name, member]) => [name, turned(member)]));
}

describe('the canonical text of a value', () => {
  it('reads as the value, and is the same in whatever order its members were written', () => {
    fc.assert(fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
      expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      expect(canonicalJson(turned(value))).toBe(canonicalJson(value));
    }));
  });

  it('sorts names by their code units, leaves out what is undefined, and has null for it in a list', () => {
    expect(canonicalJson({ b: 1, a: [undefined, 'x', { d: undefined, c: null }], 'é': 2, B: 3, 10: 4, 9: 5 })).toBe('{"10":4,"9":5,"B":3,"a":[null,"x",{"c":null}],"b":1,"é":2}');
    expect([canonicalJson(undefined), canonicalJson({}), canonicalJson([])]).toEqual(['null', '{}', '[]']);
  });

  it('has the hash of that text', () => {
    expect(bodyHash({ name: 'a', size: 1, tags: ['x', null] })).toBe('2b88d80677ef99d3cad6b9bf2c4391d0c01ea497ced79835bad6f0a95c135fbf');
  });
});
