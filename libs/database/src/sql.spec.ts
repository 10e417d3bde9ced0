import { describe, expect, it } from '@jest/globals';
import { allOf, anyOf, sql } from './sql.ts';

describe('sql', () => {
  it('turns values into parameters', () => {
    expect(sql`a = ${"x' OR 1=1"} AND b = ${2}`).toEqual({ sql: 'a = ? AND b = ?', params: ["x' OR 1=1", 2] });
  });
  it('spreads lists and never writes an empty one', () => {
    expect(sql`a IN (${['x', 'y']})`).toEqual({ sql: 'a IN (?, ?)', params: ['x', 'y'] });
    expect(sql`a IN (${[]})`).toEqual({ sql: 'a IN (NULL)', params: [] });
  });
  it('splices pieces with their parameters in order', () => {
    expect(sql`x = ${1} AND ${sql`y = ${2}`} AND z = ${3}`).toEqual({ sql: 'x = ? AND y = ? AND z = ?', params: [1, 2, 3] });
  });
  it('joins conditions with brackets around each', () => {
    expect(allOf([sql`a = ${1} OR b = ${2}`, null, sql`c = ${3}`])).toEqual({ sql: '(a = ? OR b = ?) AND (c = ?)', params: [1, 2, 3] });
    expect(allOf([])).toEqual({ sql: '1 = 1', params: [] });
    expect(anyOf([])).toEqual({ sql: '1 = 0', params: [] });
  });
});
