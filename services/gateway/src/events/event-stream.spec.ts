import { describe, expect, it } from '@jest/globals';
import { beginAfter, resetText, wantsStream } from './event-stream.ts';

describe('a stream of events', () => {
  it.each([
    ['7', undefined, 7], ['7', '3', 7], [undefined, '3', 3], [undefined, undefined, null], ['', undefined, null], ['-1', undefined, null], ['1e3', '2', null], ['x', undefined, null],
  ])('with Last-Event-ID %s and after %s begins after %s', (header, after, expected) => {
    expect(beginAfter(header, after)).toBe(expected);
  });
  it.each([['text/event-stream', true], ['application/json, text/event-stream;q=0.5', true], ['application/json', false], [undefined, false], ['*/*', false]])('is wanted by %s: %s', (accept, expected) => {
    expect(wantsStream(accept)).toBe(expected);
  });
  it('writes one event per block', () => {
    expect(resetText({ code: 'EVENTS_GONE', detail: 'x', details: { firstSeq: 9 } })).toBe('event: reset\ndata: {"code":"EVENTS_GONE","detail":"x","firstSeq":9}\n\n');
  });
});
