// What crosses the wire is read strictly and written without secrets.
import { describe, expect, test } from '@jest/globals';
import { Internal } from '#contracts';
import { parseTimeout } from './deadline.ts';
import { callingService, isIdempotencyKey, isInbox, isSubjectToken } from './headers.ts';
import { inboxPrefixOf } from './creds.ts';
import { bug, errorBody, faultOf, isResult, parseBody } from './wire.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const codeOf = (text: string, limit = 1000): string => {
  const parsed = parseBody(bytes(text), limit);
  return parsed.ok ? 'ok' : parsed.fault.code;
};

test('bodies', () => {
  expect(codeOf('{"a":"[[[[{{{"}')).toBe('ok');
  expect(codeOf('')).toBe('ok');
  expect(codeOf('\uFEFF{}')).toBe('BAD_JSON');
  expect(codeOf('{"a":NaN}')).toBe('BAD_JSON');
  expect(codeOf('[1,2]x')).toBe('BAD_JSON');
  expect(codeOf('['.repeat(64) + ']'.repeat(64))).toBe('ok');
  expect(codeOf('['.repeat(65) + ']'.repeat(65))).toBe('BAD_JSON');
  expect(codeOf(`["${'['.repeat(200)}\\"${'{'.repeat(200)}"]`)).toBe('ok');
  expect(codeOf('"12345"', 6)).toBe('PAYLOAD_TOO_LARGE');
});

describe('headers', () => {
  test.each([['1', 1], ['3600000', 3_600_000], ['0', undefined], ['3600001', undefined], ['1.5', undefined], ['1e3', undefined], [' 1', undefined], ['', undefined]])('a timeout of "%s"', (text, ms) => {
    expect(parseTimeout(text)).toBe(ms);
  });
  test.each([['_INBOX.a', true], ['_INBOX.a.b-c_d', true], ['_INBOX.', false], ['_INBOX.a..b', false], ['_INBOX.*', false], ['_INBOX.a.>', false], ['_INBOXX.a', false], ['x._INBOX.a', false], ['_INBOX.a b', false]])('the inbox "%s"', (text, is) => {
    expect(isInbox(text)).toBe(is);
  });
  test.each([['service:compute', 'compute'], ['service:', undefined], ['service:a.b', undefined], ['eyJhbGci', null]])('the actor "%s"', (text, name) => {
    expect(callingService(text)).toBe(name);
  });
  test('keys and subject pieces', () => {
    expect([isIdempotencyKey('task/1 x'), isIdempotencyKey(''), isIdempotencyKey('a\n'), isIdempotencyKey('k'.repeat(128)), isIdempotencyKey('k'.repeat(129))]).toEqual([true, false, false, true, false]);
    expect(['h1', 'a.b', '*', '>', '', 'a b'].map(isSubjectToken)).toEqual([true, false, false, false, false, false]);
  });
});

test('the cause of a fault stays inside', () => {
  expect(JSON.stringify(errorBody(bug(new Error('secret')), 'f'.repeat(32)))).not.toContain('secret');
  expect(faultOf({ code: 'BUSY', detail: 'Wait.', details: { id: 'x' }, cause: 'ignored' }, Internal)).toEqual({ code: 'BUSY', detail: 'Wait.', details: { id: 'x' } });
  expect(faultOf('garbage', Internal).code).toBe('INTERNAL');
});

test('a reply that looks like a result is told from a result', () => {
  expect([{ ok: true, value: 1 }, { ok: false, fault: {} }].map(isResult)).toEqual([true, true]);
  expect([{ ok: true }, { ok: true, value: 1, more: 2 }, { ok: 'yes', value: 1 }, null, 'ok'].map(isResult)).toEqual([false, false, false, false, false]);
});

test('the inbox that credentials allow is named after their holder', () => {
  const claims = Buffer.from('{"name":"compute"}').toString('base64url');
  expect(inboxPrefixOf(`-----BEGIN NATS USER JWT-----\nhead.${claims}.sig\n------END NATS USER JWT------\n`)).toBe('_INBOX.compute');
  expect(() => inboxPrefixOf('nothing')).toThrow('not a NATS credentials file');
});
