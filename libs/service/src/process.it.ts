import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { connect, headers } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import { z } from 'zod';
import { BusClient } from '#bus';
import { defineQuery } from '#contracts';

const programs = join(process.env['TOK_TEST_PROGRAMS'] ?? '', 'service');
const text = { summary: 'as in the sample service', permission: 'internal', input: z.strictObject({ delayMs: z.int() }), reply: z.strictObject({ text: z.string() }) } as const;
const greet = defineQuery('compute.greeting.get', text);
const crash = defineQuery('compute.greeting.crash', text);
const natsUrl = process.env['TOK_TEST_NATS_URL'] ?? '';

/** The sample service as a process, joined as what runs in production is. */
class Sample {
  output = '';
  readonly ended: Promise<number | null>;
  private readonly child: ChildProcess;

  constructor(env: Record<string, string>) {
    this.child = spawn(process.execPath, ['--import', join(programs, 'register.js'), join(programs, 'sample.js')], { env: { PATH: process.env['PATH'], ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.child.stdout, this.child.stderr]) stream?.on('data', (data: Buffer) => { this.output += data.toString(); });
    this.ended = new Promise((resolve) => { this.child.once('close', resolve); });
  }

  async says(what: string): Promise<this> {
    for (let turn = 0; !this.output.includes(what); turn++) {
      if (turn > 1000 || this.child.exitCode !== null) throw new Error(`it never said "${what}" but: ${this.output}`);
      await new Promise((resolve) => { setTimeout(resolve, 10); });
    }
    return this;
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name);
  }

  get alive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }
}

describe('a process of a service', () => {
  let nats: NatsConnection;
  let client: BusClient;
  let sample: Sample | undefined;
  const start = (env: Record<string, string> = {}): Sample => (sample = new Sample({ TOK_NATS_URL: natsUrl, ...env }));

  beforeAll(async () => {
    nats = await connect({ servers: natsUrl });
    client = new BusClient({ connection: nats, service: 'compute' });
  });

  afterEach(async () => {
    if (sample?.alive === true) sample.signal('SIGKILL');
    await sample?.ended;
    sample = undefined;
  });

  afterAll(async () => {
    await nats.close();
  });

  it.each(['SIGTERM', 'SIGINT'] as const)('ends with 0 at %s after it has answered what it had received', async (signal) => {
    const running = await start().says('"ready"');
    const answers = Array.from({ length: 20 }, () => client.request(greet, { delayMs: 300 }, { as: 'system' }));
    await nats.flush();
    running.signal(signal);
    expect((await Promise.all(answers)).every((answer) => answer.ok)).toBe(true);
    expect(await running.ended).toBe(0);
    expect(running.output).toContain('"stopped"');
  });

  it('ends with 1 at an error that nobody catches, and logs it', async () => {
    const running = await start().says('"ready"');
    await client.request(crash, { delayMs: 0 }, { as: 'system', timeoutMs: 500 });
    expect(await running.ended).toBe(1);
    expect(running.output).toMatch(/"level":"fatal".*nobody catches this/);
  });

  it('ends with 78 when its settings are wrong, and names all of them', async () => {
    const running = start({ TOK_NATS_URL: 'http://x', TOK_HEALTH_PORT: 'eighty' });
    expect(await running.ended).toBe(78);
    expect(running.output).toMatch(/TOK_NATS_URL: .*\n.*TOK_HEALTH_PORT: /);
  });

  it('ends with 1 when its health port is taken', async () => {
    const port = /"healthPort":(\d+)/.exec((await start().says('"ready"')).output)?.[1] ?? '';
    const first = sample;
    const second = start({ TOK_HEALTH_PORT: port });
    expect(await second.ended).toBe(1);
    expect(second.output).toContain('EADDRINUSE');
    first?.signal('SIGTERM');
    expect(await first?.ended).toBe(0);
  });

  it('writes its spans to the trace file before it ends', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'tok-spans-'));
    const file = join(dir, 'spans.ndjson');
    const running = await start({ TOK_TRACE_FILE: file, TOK_SERVICE: 'compute-1' }).says('"ready"');
    const traced = headers();
    traced.set('traceparent', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01');
    traced.set('Tok-Actor', 'service:compute');
    await nats.request(greet.subject, JSON.stringify({ delayMs: 0 }), { headers: traced, timeout: 5_000 });
    running.signal('SIGTERM');
    expect(await running.ended).toBe(0);
    const span: unknown = JSON.parse((await readFile(file, 'utf8')).trim());
    expect(span).toMatchObject({ service: 'compute-1', name: 'compute.greeting.get', kind: 'server', traceId: '0af7651916cd43dd8448eb211c80319c', parentSpanId: 'b7ad6b7169203331' });
    await rm(dir, { recursive: true });
  });
});
