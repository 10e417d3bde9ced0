// One request, one trace: the spans of the door, of the services and of the host that carried out a deployment hang
// together from the trace id that the client sent, without a gap, and each step of its task is one of them.
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { getTask, TaskRef } from '#contracts';
import { eventually } from './eventually.ts';
import { traceFile } from './lab.mjs';
import { removeOwn, small } from './vms.ts';
import { openWorld } from './world.ts';
import type { World } from './world.ts';

interface Span { readonly service: string; readonly traceId: string; readonly spanId: string; readonly parentSpanId: string | null; readonly name: string }

let world: World;
beforeAll(async () => { world = await openWorld('trace'); });
afterAll(() => removeOwn(world));

async function spansOf(traceId: string): Promise<Span[]> {
  const text = await readFile(process.env['TOK_TRACE_FILE'] ?? traceFile(world.lab.dir), 'utf8');
  return text.split('\n').filter((line) => line.includes(traceId)).map((line) => JSON.parse(line) as Span);
}

describe('a trace', () => {
  const traceId = randomBytes(16).toString('hex');
  const root = randomBytes(8).toString('hex');

  it('spans the door, the services and the host of one deployment', async () => {
    const sent = await world.rest.send('POST', '/v1/vms', { body: small(world, 'traced'), headers: { 'idempotency-key': traceId, traceparent: `00-${traceId}-${root}-01` } });
    expect(sent.status).toBe(202);
    const task = await world.rest.succeeded(TaskRef.parse(sent.body));
    const { kind, steps, traceId: told } = await world.rest.ask(getTask, { taskId: task.id });
    expect(told).toBe(traceId);
    const wanted = ['gateway', 'compute', 'scheduler', 'storage', 'network', 'host-agent'];
    // Each process writes its spans a while after they end, so a child may be there before its parent.
    await eventually('every process has told its spans, and each span has its parent', async () => {
      const spans = await spansOf(traceId);
      const services = new Set(spans.map((span) => span.service));
      if (!wanted.every((service) => services.has(service))) throw new Error(`only ${[...services].join(', ')}`);
      const names = new Set(spans.map((span) => span.name));
      const silent = steps.filter(({ name }) => !names.has(`${kind} ${name}`)).map(({ name }) => name);
      if (silent.length > 0) throw new Error(`no span of the steps ${silent.join(', ')}`);
      const known = new Set([root, ...spans.map((span) => span.spanId)]);
      const orphans = spans.filter((span) => span.parentSpanId === null || !known.has(span.parentSpanId)).map(({ service, name }) => `${service} ${name}`);
      if (orphans.length > 0) throw new Error(`without a parent: ${orphans.join(', ')}`);
      return true;
    }, { withinMs: 15_000, everyMs: 300 });
  }, 60_000);

  it('is named in a refusal, so that the log can be searched for it', async () => {
    const answer = await world.rest.send('POST', '/v1/vms', { body: { name: 17 }, headers: { 'idempotency-key': root.repeat(2), traceparent: `00-${traceId}-${root}-01` } });
    expect(answer.body).toMatchObject({ code: 'INVALID_ARGUMENT', traceId });
  });
});
