// Pipes over a bus that the test is: it delivers, holds back, and loses.
import { afterEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { decodeFrame, encodeFrame } from './pipe-frame.ts';
import type { Frame } from './pipe-frame.ts';
import { Pipe } from './pipe.ts';
import type { PipeLimits } from './pipe.ts';

const quiet = { aliveMs: 3_600_000, silentMs: 3_600_000 };
const open: Pipe[] = [];
afterEach(() => { for (const pipe of open.splice(0)) pipe.close('test'); });

/** Two ends; `through` may drop a frame. */
function joined(limits: Partial<PipeLimits> = {}, through: (frame: Uint8Array) => boolean = () => true, slow?: () => Promise<void>) {
  const heard: Buffer[] = [];
  const ends: string[] = [];
  const [a, b]: [Pipe, Pipe] = [
    new Pipe({ limits: { ...quiet, ...limits }, publish: (frame) => { if (through(frame)) queueMicrotask(() => { b.take(frame); }); }, onBytes: () => undefined, onEnd: (reason) => { ends.push(`a ${reason}`); } }),
    new Pipe({ limits: { ...quiet, ...limits }, publish: (frame) => { if (through(frame)) queueMicrotask(() => { a.take(frame); }); }, onBytes: async (bytes) => { await slow?.(); heard.push(Buffer.from(bytes)); }, onEnd: (reason) => { ends.push(`b ${reason}`); } }),
  ];
  open.push(a, b);
  return { a, b, ends, heard: () => Buffer.concat(heard) };
}
const moment = (): Promise<void> => new Promise((resolve) => { setTimeout(resolve, 1); });
const turn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve); });

describe('frames', () => {
  it('come back as they were', () => {
    const frame = fc.oneof<fc.Arbitrary<Frame>[]>(
      fc.uint8Array({ maxLength: 50 }).map((bytes) => ({ kind: 'data', bytes })), fc.nat().map((taken) => ({ kind: 'ack', taken })), fc.constant({ kind: 'alive' }), fc.string({ maxLength: 20, unit: 'grapheme-ascii' }).map((reason) => ({ kind: 'end', reason })),
    );
    fc.assert(fc.property(frame, fc.nat({ max: 0xffff_ffff }), (one, number) => {
      const decoded = decodeFrame(encodeFrame(one, number));
      expect(decoded).toEqual({ number, frame: one });
    }));
  });
  it('of another form are refused, whatever they are', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 20 }), (bytes) => {
      expect(decodeFrame(bytes) !== undefined).toBe(bytes.length >= 5 && (bytes[0] === 0 || bytes[0] === 2 || bytes[0] === 3 || (bytes[0] === 1 && bytes.length === 13)));
    }));
  });
});

describe('a pipe', () => {
  it('hands on what was sent, in order and whole, through a window smaller than it', async () => {
    const { a, heard, ends } = joined({ windowBytes: 64, frameBytes: 16 });
    const sent = Buffer.from(Array.from({ length: 5_000 }, (_, index) => index % 251));
    for (let at = 0; at < sent.length; at += 700) void a.send(sent.subarray(at, at + 700));
    await a.send(Buffer.from([1]));
    a.end('done');
    for (let turns = 0; ends.length < 2 && turns < 1_000; turns++) await turn();
    expect(heard().equals(Buffer.concat([sent, Buffer.from([1])]))).toBe(true);
    expect(ends).toEqual(['a done', 'b done']);
  });

  it('waits for a reader that is slow, and holds no more than its window', async () => {
    let go = (): void => undefined;
    const held = new Promise<void>((resolve) => { go = resolve; });
    let frames = 0;
    const { a, heard } = joined({ windowBytes: 64, frameBytes: 16 }, () => (frames += 1) > 0, () => held);
    const sent: string[] = [];
    void a.send(Buffer.alloc(1_000)).then(() => { sent.push('all'); });
    for (let turns = 0; turns < 50; turns++) await turn();
    expect([sent, frames]).toEqual([[], 4]);
    go();
    for (let turns = 0; sent.length === 0 && turns < 1_000; turns++) await turn();
    for (let turns = 0; heard().length < 1_000 && turns < 1_000; turns++) await turn();
    expect(heard()).toHaveLength(1_000);
  });

  it('ends at both ends when a frame was lost, also when it was the last before a silence', async () => {
    let count = 0;
    const { a, ends, heard } = joined({}, () => (count += 1) !== 2);
    await a.send(Buffer.from('one'));
    await a.send(Buffer.from('two'));
    a.greet();
    for (let turns = 0; ends.length < 2 && turns < 100; turns++) await turn();
    expect([heard().toString(), ends.sort()]).toEqual(['one', ['a lost', 'b lost']]);
  });

  it('ends when the other end falls silent, and when the bus carries nothing', async () => {
    const { ends } = joined({ aliveMs: 10, silentMs: 40 }, () => false);
    for (let turns = 0; ends.length < 2 && turns < 5_000; turns++) await moment();
    expect(ends.sort()).toEqual(['a silent', 'b silent']);
    const alone: string[] = [];
    const pipe = new Pipe({ limits: quiet, publish: () => { throw new Error('closed'); }, onBytes: () => undefined, onEnd: (reason) => { alone.push(reason); } });
    await pipe.send(Buffer.from('x'));
    expect([alone, pipe.over]).toEqual([['bus-away'], 'bus-away']);
  });

  it('takes no lateness of its own process for a silence of the other end', async () => {
    const { a, b, ends } = joined({ aliveMs: 10, silentMs: 40 });
    for (const until = performance.now() + 200; performance.now() < until;); // nothing of this process runs meanwhile
    for (let turns = 0; turns < 20; turns++) await moment();
    expect([ends, a.over, b.over]).toEqual([[], undefined, undefined]);
  });

  it('ends on a peer that keeps no window, acknowledges what was not sent, or writes nonsense', () => {
    const met = (frames: readonly [Frame, number][] | Uint8Array): string | undefined => {
      const pipe = new Pipe({ limits: { ...quiet, windowBytes: 10 }, publish: () => undefined, onBytes: () => new Promise(() => undefined), onEnd: () => undefined });
      open.push(pipe);
      for (const frame of frames instanceof Uint8Array ? [frames] : frames.map(([one, number]) => encodeFrame(one, number))) pipe.take(frame);
      return pipe.over;
    };
    const ten: Frame = { kind: 'data', bytes: new Uint8Array(10) };
    expect([met([[ten, 0]]), met([[ten, 0], [{ kind: 'data', bytes: new Uint8Array(1) }, 1]]), met([[{ kind: 'ack', taken: 1 }, 0]]), met(new Uint8Array([9, 0, 0, 0, 0])), met([[ten, 7]])])
      .toEqual([undefined, 'overrun', 'garbled', 'garbled', 'lost']);
  });

  it('ends also when what came before the end is never taken', async () => {
    const { a, ends } = joined({ aliveMs: 10, silentMs: 40 }, undefined, () => new Promise(() => undefined));
    await a.send(Buffer.from('for nobody'));
    a.end('left');
    for (let turns = 0; ends.length < 2 && turns < 5_000; turns++) await moment();
    expect(ends).toEqual(['a left', 'b left']);
  });

  it('that listens first says nothing until it has heard of the other end', async () => {
    const said: string[] = [];
    const pipe = new Pipe({ limits: quiet, listensFirst: true, publish: (frame) => { said.push(String(frame[0])); }, onBytes: () => undefined, onEnd: () => undefined });
    open.push(pipe);
    const sent = pipe.send(Buffer.from('early'));
    for (let turns = 0; turns < 5; turns++) await turn();
    expect(said).toEqual([]);
    pipe.take(encodeFrame({ kind: 'alive' }, 0));
    await sent;
    expect(said).toEqual(['0']);
  });

  it('lets nobody wait for room that never comes', async () => {
    const { a, b } = joined({ windowBytes: 8, frameBytes: 8 }, undefined, () => new Promise(() => undefined));
    const waiting = a.send(Buffer.alloc(100));
    await turn();
    b.end('closed');
    await waiting;
    expect([a.over, b.over]).toEqual(['closed', 'closed']);
  });
});
