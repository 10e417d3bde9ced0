import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { propagation, context, trace } from '@opentelemetry/api';
import { createLogger } from './logger.ts';
import { inSpan, startTracing, stopTracing } from './tracing.ts';

describe('tracing', () => {
  let dir: string;
  beforeEach(async () => { dir = await mkdtemp(join(tmpdir(), 'tok-trace-')); });
  afterEach(async () => {
    await stopTracing();
    await rm(dir, { recursive: true });
  });
  const spans = async (file: string): Promise<Record<string, unknown>[]> =>
    (await readFile(file, 'utf8')).trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);

  it('stays off when nobody takes the traces', async () => {
    expect(await startTracing({ service: 'compute' })).toBe(false);
    await inSpan('work', {}, (span) => {
      expect(span.isRecording()).toBe(false);
      return Promise.resolve();
    });
  });

  it('writes each finished span to the file, children under their parent', async () => {
    const file = join(dir, 'spans.ndjson');
    expect(await startTracing({ service: 'compute', file })).toBe(true);
    await inSpan('outer', { vm: 'v1' }, () => inSpan('inner', {}, () => Promise.resolve()));
    await expect(inSpan('broken', {}, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    await stopTracing();
    const [inner, outer, broken] = await spans(file);
    expect(outer).toMatchObject({ service: 'compute', name: 'outer', kind: 'internal', parentSpanId: null, attributes: { vm: 'v1' } });
    expect(inner).toMatchObject({ name: 'inner', traceId: outer?.['traceId'], parentSpanId: outer?.['spanId'] });
    expect(broken).toMatchObject({ name: 'broken', status: 'error' });
  });

  it('carries the trace into the log and into headers', async () => {
    await startTracing({ service: 'compute', file: join(dir, 'spans.ndjson') });
    let line = '';
    const log = createLogger('compute', { destination: { write: (text) => { line = text; } } });
    const headers: Record<string, string> = {};
    const traceId = await inSpan('work', {}, () => {
      log.info('inside');
      propagation.inject(context.active(), headers);
      return Promise.resolve(trace.getActiveSpan()?.spanContext().traceId);
    });
    expect(JSON.parse(line)).toMatchObject({ traceId });
    expect(headers['traceparent']).toContain(traceId);
  });

  it('starts once', async () => {
    const file = join(dir, 'spans.ndjson');
    expect(await startTracing({ service: 'compute', file })).toBe(true);
    expect(await startTracing({ service: 'other' })).toBe(true);
  });
});
