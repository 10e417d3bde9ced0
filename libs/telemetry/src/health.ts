// What the machinery around a process asks it: alive (/livez), able to work (/readyz), numbers (/metrics).
// Every check is bounded in time, so that a hanging dependency makes the process unready and never the question hang.
import { createServer } from 'node:http';
import type { Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';

/** Null = good; a text = why not. */
export type Check = () => Promise<string | null> | string | null;
export interface CheckOptions {
  /** Shown, but its failure does not make the process unready. */
  readonly informative?: boolean;
}
export interface CheckReport {
  readonly name: string;
  readonly ok: boolean;
  readonly informative: boolean;
  readonly reason?: string;
}
export interface Readiness {
  readonly status: 'ready' | 'unready' | 'starting' | 'stopping';
  readonly checks: readonly CheckReport[];
}

const checkLimitMs = 2_000;

export class Health {
  private readonly checks = new Map<string, { check: Check; informative: boolean }>();
  private phase: 'starting' | 'serving' | 'stopping' = 'starting';
  private server: Server | undefined;
  private readonly startedAt = performance.now();

  constructor(private readonly registry?: Registry) {}

  add(name: string, check: Check, options: CheckOptions = {}): void {
    this.checks.set(name, { check, informative: options.informative ?? false });
  }

  /** From now on the checks decide. */
  serving(): void {
    if (this.phase === 'starting') this.phase = 'serving';
  }

  /** Unready until the end, so that nobody sends more work. */
  stopping(): void {
    this.phase = 'stopping';
  }

  async readiness(): Promise<Readiness> {
    const checks = await Promise.all([...this.checks].map(([name, { check, informative }]) => run(name, check, informative)));
    if (this.phase !== 'serving') return { status: this.phase, checks };
    return { status: checks.every(({ ok, informative }) => ok || informative) ? 'ready' : 'unready', checks };
  }

  /** Listens; answers the port, which differs from the asked one when that was 0. */
  async listen(port: number, host: string): Promise<number> {
    const server = createServer((request, response) => {
      this.answer(request.url ?? '/', response).catch((error: unknown) => {
        response.writeHead(500, { 'content-type': 'text/plain' }).end(String(error));
      });
    });
    this.server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(port, host, () => {
        server.off('error', reject);
        resolve();
      });
    });
    return (server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    const server = this.server;
    if (server === undefined) return;
    this.server = undefined;
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => { resolve(); }));
  }

  private async answer(url: string, response: ServerResponse): Promise<void> {
    const path = url.split('?', 1)[0];
    // An answer at all is the proof that the event loop turns.
    if (path === '/livez') { json(response, 200, { status: 'alive', uptimeMs: Math.round(performance.now() - this.startedAt) }); return; }
    if (path === '/readyz') {
      const readiness = await this.readiness();
      json(response, readiness.status === 'ready' ? 200 : 503, readiness); return;
    }
    if (path === '/metrics' && this.registry !== undefined) {
      response.writeHead(200, { 'content-type': this.registry.contentType }).end(await this.registry.metrics());
      return;
    }
    json(response, 404, { detail: 'ask /livez, /readyz or /metrics' });
  }
}

function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' }).end(`${JSON.stringify(body)}\n`);
}

async function run(name: string, check: Check, informative: boolean): Promise<CheckReport> {
  const limit = Promise.withResolvers<string>();
  const timer = setTimeout(() => { limit.resolve(`no answer within ${checkLimitMs} ms`); }, checkLimitMs);
  try {
    const reason = await Promise.race([Promise.resolve().then(check), limit.promise]);
    return { name, ok: reason === null, informative, ...(reason === null ? {} : { reason }) };
  } catch (error) {
    return { name, ok: false, informative, reason: error instanceof Error ? error.message : String(error) };
  } finally {
    clearTimeout(timer);
  }
}
