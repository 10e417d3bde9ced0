import { describe, expect, it } from '@jest/globals';
import { readCursor, writeCursor } from './cursor.ts';

describe('cursor', () => {
  it.each([['text', 'größer'], ['number', 42], ['time', new Date('2026-01-02T03:04:05.678Z')]])('comes back with its %s', (_kind, value) => {
    const text = writeCursor({ order: '-name', value, id: 'a' });
    expect(readCursor(text, '-name')).toEqual({ ok: true, value: { order: '-name', value, id: 'a' } });
  });
  it.each(['', 'x', '!!!', Buffer.from('[1,2,3]').toString('base64url'), Buffer.from('{"a":1}').toString('base64url'), Buffer.from('["name",{"at":"never"},"a"]').toString('base64url')])('refuses %p', (text) => {
    const answer = readCursor(text, 'name');
    expect(answer.ok ? 'ok' : answer.fault.code).toBe('INVALID_ARGUMENT');
  });
  it('refuses one of another order', () => {
    const answer = readCursor(writeCursor({ order: 'name', value: 'a', id: 'a' }), '-name');
    expect(answer.ok ? 'ok' : answer.fault.code).toBe('INVALID_ARGUMENT');
  });
});
