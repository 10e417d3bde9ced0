// The monitor's protocol against a peer that may say anything, at any speed, in any pieces.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { startFailure } from './errors.ts';
import { Monitor } from './monitor.socket.ts';
import { LineSplitter, parseLine, WireError } from './wire.ts';
import type { QmpEvent } from './wire.ts';

describe('wire', () => {
  test('lines come out the same however the bytes are cut', () => {
    fc.assert(fc.property(fc.array(fc.string().map((text) => text.replaceAll('\n', ' '))), fc.array(fc.integer({ min: 1, max: 7 })), (lines, cuts) => {
      const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
      const splitter = new LineSplitter();
      const got: string[] = [];
      for (let at = 0, turn = 0; at < bytes.length; turn++) {
        const size = cuts[turn % Math.max(1, cuts.length)] ?? 5;
        got.push(...splitter.push(bytes.subarray(at, at + size)));
        at += size;
      }
      expect(got).toEqual(lines);
    }));
  });

  test('a line without end is given up at the limit', () => {
    const splitter = new LineSplitter(100);
    expect(() => { for (let pushed = 0; pushed < 20; pushed++) splitter.push(Buffer.alloc(10, 'x')); }).toThrow(WireError);
  });

  test('no text makes the parser fail in another way than its own', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json(), fc.object().map((value) => JSON.stringify(value))), (text) => {
      try {
        parseLine(text);
      } catch (error) {
        expect(error).toBeInstanceOf(WireError);
      }
    }), { numRuns: 3_000 });
  });

  test('each kind of message is told apart', () => {
    expect(parseLine('{"QMP":{"version":{}}}')).toEqual({ kind: 'greeting' });
    expect(parseLine('\ufffd{"return":7,"id":1}\r')).toEqual({ kind: 'return', id: 1, value: 7 });
    expect(parseLine('{"event":"STOP","timestamp":{}}')).toEqual({ kind: 'event', event: { name: 'STOP', data: {} } });
    expect(parseLine('{"id":2,"error":{"class":"GenericError","desc":"no"}}')).toEqual({ kind: 'error', id: 2, class: 'GenericError', text: 'no' });
    expect(parseLine('')).toBeNull();
  });
});

describe('monitor', () => {
  let dir: string;
  let server: Server;
  let peer: Socket[];
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'tok-qmp-'));
    peer = [];
  });
  afterEach(async () => {
    for (const socket of peer) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
    rmSync(dir, { recursive: true, force: true });
  });

  const path = (): string => join(dir, 'qmp.sock');
  /** A QEMU whose answers are `answer`; null keeps silent. */
  const listen = (answer: (request: { execute: string; id: number }, socket: Socket) => string | null, greeting = '{"QMP":{}}\n'): Promise<void> =>
    new Promise((resolve) => {
      server = createServer((socket) => {
        peer.push(socket);
        socket.write(greeting);
        const splitter = new LineSplitter();
        socket.on('data', (chunk) => {
          for (const line of splitter.push(chunk)) {
            const reply = answer(JSON.parse(line) as { execute: string; id: number }, socket);
            if (reply !== null) socket.write(reply);
          }
        });
      }).listen(path(), resolve);
    });
  const handlers = (events: QmpEvent[] = [], onEnd: () => void = () => undefined) => ({ onEvent: (event: QmpEvent) => { events.push(event); }, onEnd });
  const ok = ({ id }: { id: number }, value: unknown = {}): string => `${JSON.stringify({ return: value, id })}\n`;

  test('answers find their request although they come in another order, with events between, in order', async () => {
    const events: QmpEvent[] = [];
    const held: { id: number }[] = [];
    await listen((request) => {
      if (request.execute === 'qmp_capabilities') return ok(request);
      held.push(request);
      return held.length < 2 ? '{"event":"ONE"}\n' : `{"event":"TWO"}\n${ok(held[1]!, 'second')}${ok(held[0]!, 'first')}`;
    });
    const monitor = await Monitor.connect(path(), handlers(events));
    expect(await Promise.all([monitor.execute('a'), monitor.execute('b')])).toEqual(['first', 'second']);
    expect(events.map(({ name }) => name)).toEqual(['ONE', 'TWO']);
    monitor.close();
  });

  test('a refusal carries the class', async () => {
    await listen((request) => (request.execute === 'qmp_capabilities' ? ok(request) : `${JSON.stringify({ id: request.id, error: { class: 'DeviceNotFound', desc: 'x' } })}\n`));
    const monitor = await Monitor.connect(path(), handlers());
    await expect(monitor.execute('device_del')).rejects.toMatchObject({ failure: 'refused', qmpClass: 'DeviceNotFound' });
    monitor.close();
  });

  test('no greeting is an answer of its own', async () => {
    await listen(() => null, '');
    await expect(Monitor.connect(path(), handlers(), 50)).rejects.toMatchObject({ failure: 'no-greeting' });
  });

  test('nobody listening is an answer of its own', async () => {
    await listen(() => null);
    await expect(Monitor.connect(join(dir, 'other.sock'), handlers())).rejects.toMatchObject({ failure: 'not-listening' });
  });

  test('the end of the process fails what is open and is told once', async () => {
    let ends = 0;
    await listen((request, socket) => {
      if (request.execute === 'qmp_capabilities') return ok(request);
      socket.destroy();
      return null;
    });
    const monitor = await Monitor.connect(path(), handlers([], () => { ends += 1; }));
    await expect(monitor.execute('query-status')).rejects.toMatchObject({ failure: 'gone' });
    await expect(monitor.execute('query-status')).rejects.toMatchObject({ failure: 'gone' });
    expect(ends).toBe(1);
  });

  test('a peer that is not QEMU is hung up on', async () => {
    await listen((request) => (request.execute === 'qmp_capabilities' ? ok(request) : 'HTTP/1.1 200 OK\n'));
    const monitor = await Monitor.connect(path(), handlers());
    await expect(monitor.execute('query-status')).rejects.toMatchObject({ failure: 'garbled' });
  });
});

test('QEMU’s last words become a sentence', () => {
  expect(startFailure("qemu: -blockdev x: Failed to get \"write\" lock\nIs another process using the image?").sentence).toBe('A disk is in use by another process.');
  expect(startFailure('').sentence).toBe('QEMU ended without a word.');
});
