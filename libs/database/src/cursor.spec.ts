import { describe, expect, it } from '@jest/globals';
import { readCursor, writeCursor } from './cursor.ts';

const byName = { order: 'name', filter: 'f' };
const codeOf = (text: string): string => {
  const answer = readCursor(text, byName);
  return answer.ok ? 'ok' : answer.fault.code;
};

describe('cursor', () => {
  it.each([['text', 'größer'], ['number', 42], ['time', new Date('2026-01-02T03:04:05.678Z')]])('comes back with its %s', (_kind, value) => {
    const cursor = { order: '-name', filter: 'f', value, id: 'a' };
    expect(readCursor(writeCursor(cursor), cursor)).toEqual({ ok: true, value: cursor });
  });
  it.each(['', 'x', '!!!', ...['[1,2,3,4]', '["name","v","a"]', '{"a":1}', '["name","f",{"at":"never"},"a"]'].map((text) => Buffer.from(text).toString('base64url'))])('refuses %p', (text) => {
    expect(codeOf(text)).toBe('INVALID_ARGUMENT');
  });
  it('refuses one of another order or of other filters', () => {
    expect(codeOf(writeCursor({ ...byName, value: 'a', id: 'a' }))).toBe('ok');
    expect(codeOf(writeCursor({ ...byName, order: '-name', value: 'a', id: 'a' }))).toBe('INVALID_ARGUMENT');
    expect(codeOf(writeCursor({ ...byName, filter: 'g', value: 'a', id: 'a' }))).toBe('INVALID_ARGUMENT');
  });
});
