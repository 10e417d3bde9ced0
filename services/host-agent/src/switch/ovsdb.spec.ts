// Answers of the database of Open vSwitch as they may come over the socket: in pieces, with an error, or not at all.
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { selectAll } from './ovsdb.socket.ts';

/** What is read from a server that does this with each connection once it has been asked. */
async function answeredBy(answer: (socket: Socket, request: unknown) => void, limitMs = 2_000) {
  const directory = await mkdtemp(join(tmpdir(), 'tok-ovsdb-'));
  const path = join(directory, 'db.sock');
  const server = createServer((socket) => { socket.once('data', (data) => { answer(socket, JSON.parse(data.toString())); }); });
  try {
    await new Promise<void>((resolve) => { server.listen(path, resolve); });
    return await selectAll(path, [{ table: 'Bridge', columns: ['name'] }, { table: 'Port', columns: ['name'] }], limitMs);
  } finally {
    server.close();
    await rm(directory, { recursive: true });
  }
}
const rows = (...names: string[]) => ({ rows: names.map((name) => ({ name })) });
const text = (...tables: unknown[]): string => JSON.stringify({ id: 1, result: tables, error: null });

describe('a question to the database of Open vSwitch', () => {
  test('is one transaction over all tables', async () => {
    let asked: unknown;
    const found = await answeredBy((socket, request) => { asked = request; socket.write(text(rows('br'), rows('a', 'b'))); });
    expect(found).toEqual({ ok: true, value: [[{ name: 'br' }], [{ name: 'a' }, { name: 'b' }]] });
    expect(asked).toEqual({ id: 1, method: 'transact', params: ['Open_vSwitch', { op: 'select', table: 'Bridge', where: [], columns: ['name'] }, { op: 'select', table: 'Port', where: [], columns: ['name'] }] });
  });

  test('reads an answer that comes in pieces, some of which end like a whole one', async () => {
    const whole = text(rows('br'), rows('a', 'b'));
    const found = await answeredBy((socket) => {
      let at = 0;
      const next = (): void => {
        const end = whole.indexOf('}', at) + 1;
        socket.write(whole.slice(at, end));
        at = end;
        if (at < whole.length) setTimeout(next, 5);
      };
      next();
    });
    expect(found).toMatchObject({ ok: true, value: [[{ name: 'br' }], [{ name: 'a' }, { name: 'b' }]] });
  });

  test.each([
    ['an error of the database', (socket: Socket) => { socket.write(JSON.stringify({ id: 1, result: null, error: { error: 'unknown database' } })); }],
    ['a table that failed', (socket: Socket) => { socket.write(text(rows('br'), { error: 'no such table' })); }],
    ['a table too few', (socket: Socket) => { socket.write(text(rows('br'))); }],
    ['half an answer', (socket: Socket) => { socket.end('{"id":1,'); }],
    ['silence', () => undefined],
  ])('fails with a code on %s', async (_what, answer) => {
    expect(await answeredBy(answer, 200)).toMatchObject({ ok: false, fault: { code: 'HOST_COMMAND_FAILED' } });
  });

  test('fails with a code where nobody listens', async () => {
    expect(await selectAll('/nowhere/db.sock', [], 200)).toMatchObject({ ok: false, fault: { code: 'HOST_COMMAND_FAILED' } });
  });
});
