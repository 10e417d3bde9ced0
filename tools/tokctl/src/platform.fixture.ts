// A platform for tests: a real HTTP server whose answers are handed in, and surroundings that keep what a command writes.
import { createServer } from 'node:http';
import type { IncomingHttpHeaders, Server } from 'node:http';
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import { ProfileStore } from './profile.store.ts';
import { run } from './run.ts';
import type { Surroundings } from './surroundings.ts';

export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly body: unknown;
}

/** `drop` breaks the connection instead of answering. */
export type Reply = { readonly status?: number; readonly body?: unknown } | { readonly stream: string } | 'drop';
export type Answerer = (seen: Seen) => Reply | undefined;

export class FakePlatform {
  readonly seen: Seen[] = [];
  answer: Answerer = () => undefined;
  url = '';
  /** Takes consoles; undefined = refuses them with 401. */
  console: ((socket: WebSocket, seen: { readonly path: string; readonly protocols: readonly string[]; readonly headers: IncomingHttpHeaders }) => void) | undefined;
  private readonly server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
      const url = new URL(request.url ?? '/', this.url);
      const text = Buffer.concat(chunks).toString('utf8');
      const json = request.headers['content-type'] === 'application/json';
      const seen: Seen = { method: request.method ?? '', path: url.pathname, query: url.searchParams, headers: request.headers, text, body: json ? (JSON.parse(text) as unknown) : undefined };
      this.seen.push(seen);
      const reply = this.answer(seen) ?? { status: 404, body: { code: 'UNKNOWN_OPERATION', detail: `no answer for ${seen.method} ${seen.path}` } };
      if (reply === 'drop') return void request.socket.destroy();
      if ('stream' in reply) return void response.writeHead(200, { 'content-type': 'text/event-stream' }).end(reply.stream);
      const { status = 200, body = {} } = reply;
      response.writeHead(status, { 'content-type': status < 400 ? 'application/json' : 'application/problem+json' }).end(JSON.stringify(body));
    });
  });

  async open(): Promise<this> {
    const sockets = new WebSocketServer({ noServer: true });
    this.server.on('upgrade', (request, socket, head) => {
      const serve = this.console;
      const refusal = '{"code":"TICKET_INVALID","detail":"Ask for another."}';
      if (serve === undefined) return void socket.end(`HTTP/1.1 401 Refused\r\ncontent-length: ${refusal.length}\r\nconnection: close\r\n\r\n${refusal}`);
      const protocols = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((one) => one.trim());
      sockets.handleUpgrade(request, socket, head, (opened) => { serve(opened, { path: request.url ?? '', protocols, headers: request.headers }); });
    });
    await new Promise<void>((resolve) => { this.server.listen(0, '127.0.0.1', resolve); });
    this.url = `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
    return this;
  }

  close(): Promise<void> {
    this.server.closeAllConnections();
    return new Promise((resolve) => { this.server.close(() => { resolve(); }); });
  }

  of(method: string, path: string): readonly Seen[] {
    return this.seen.filter((one) => one.method === method && one.path === path);
  }
}

export interface Outcome {
  readonly status: number;
  readonly out: string;
  readonly said: string;
  /** What a console has shown. */
  readonly shown: string;
}

/** A person at a desk: a config directory of his own, an environment, lines for standard input. */
export class Desk {
  readonly dir = mkdtempSync(join(tmpdir(), 'tokctl-'));
  readonly store = new ProfileStore(join(this.dir, 'tokamak'));
  env: Record<string, string> = {};
  nowMs = Date.now();
  /** Ends a command that would go on for ever. */
  readonly leave = new AbortController();

  async tokctl(words: readonly string[], { lines = [], answers = [], input = Readable.from([]), keys = false, onOut, onShown }: { lines?: readonly string[]; answers?: readonly string[]; input?: Readable; keys?: boolean; onOut?: (text: string) => void; onShown?: () => void } = {}): Promise<Outcome> {
    const out: string[] = [];
    const said: string[] = [];
    const shown: Buffer[] = [];
    const [given, typed] = [[...lines], [...answers]];
    const around: Surroundings = {
      env: this.env, store: this.store, watched: false, width: Number.POSITIVE_INFINITY,
      out: (text) => {
        if (text !== '') out.push(text);
        onOut?.(text);
      },
      say: (text) => { said.push(text); },
      redraw: (line) => { said.push(line); },
      readLine: () => Promise.resolve(given.shift()),
      question: () => Promise.resolve(typed.shift()),
      line: () => ({
        input, takeKeys: keys ? () => () => undefined : undefined,
        output: new Writable({ write: (chunk: Buffer, _encoding, done) => { shown.push(chunk); onShown?.(); done(); } }),
      }),
      nowMs: () => this.nowMs, signal: this.leave.signal,
    };
    const status = await run(words, around, '0.0.0');
    return { status, out: out.join('\n'), said: said.join('\n'), shown: Buffer.concat(shown).toString('latin1') };
  }

  close(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

let last = 0;
/** A UUID for tests, different each time. */
export const someId = (): string => `0198a7c2-0000-7000-8000-${String((last += 1)).padStart(12, '0')}`;

export const sessionBody = (n: number, mustChangePassword = false) => ({
  accessToken: `access-${n}`, accessExpiresInMs: 600_000, refreshToken: `refresh-${n}`, refreshExpiresInMs: 86_400_000,
  user: { id: '0198a7c2-0000-7000-8000-00000000aaaa', handle: 'admin', mustChangePassword },
});

export const taskBody = (id: string, state: string, version: number, more: Readonly<Record<string, unknown>> = {}) => ({
  id, service: 'compute', kind: 'vm.create', object: { noun: 'vm', id: someId(), name: 'web-1' }, state, progress: null, waitsFor: null, error: null, output: null,
  actor: null, parentTaskId: null, traceId: null, steps: [], version, createdAt: '2026-11-22T10:00:00.000Z', startedAt: null, endedAt: null, ...more,
});

/** Surroundings in which nobody hears anything, for looking at the commands themselves. */
export const silent = (store: ProfileStore): Surroundings => ({ env: {}, store, watched: false, width: 100, out: () => undefined, say: () => undefined, redraw: () => undefined, readLine: () => Promise.resolve(undefined), question: () => Promise.resolve(undefined), line: () => { throw new Error('nothing here opens a console'); }, nowMs: () => 0 });
