// The trace of a request goes on through messages and tasks, also in a process that takes no spans.
import { describe, expect, test } from '@jest/globals';
import { formatTraceparent, openClientSpan, openServerSpan, openWorkSpan, parseTraceparent, traceparentOf } from './spans.ts';

describe('traces', () => {
  const parent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  test('are read and written as W3C says', () => {
    const parsed = parseTraceparent(parent);
    expect(parsed && formatTraceparent(parsed)).toBe(parent);
    for (const bad of ['', 'x', '00-00000000000000000000000000000000-b7ad6b7169203331-01', '00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01', '01-a-b-c']) expect(parseTraceparent(bad)).toBeUndefined();
  });
  test('go on without an SDK, and start where there is none', () => {
    expect(openServerSpan('a', parent, {}).traceId).toBe('0af7651916cd43dd8448eb211c80319c');
    expect(openServerSpan('a', undefined, {}).traceId).toMatch(/^[0-9a-f]{32}$/);
    expect(openClientSpan('b', { ctx: { traceId: 'c'.repeat(32) } }, {}).traceId).toBe('c'.repeat(32));
    expect(openClientSpan('b', { ctx: { traceId: 'c'.repeat(32) }, traceparent: parent }, {}).traceId).toBe('0af7651916cd43dd8448eb211c80319c');
    expect(openWorkSpan('d', parent, {}).traceId).toBe('0af7651916cd43dd8448eb211c80319c');
    expect(parseTraceparent(traceparentOf({ traceId: 'c'.repeat(32) }))).toMatchObject({ traceId: 'c'.repeat(32) });
  });
});
