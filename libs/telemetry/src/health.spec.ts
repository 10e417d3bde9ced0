import { afterEach, describe, expect, it } from '@jest/globals';
import { Health } from './health.ts';
import { createMetrics } from './metrics.ts';

describe('the health server', () => {
  let health: Health;
  const ask = async (port: number, path: string): Promise<{ status: number; text: string }> => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`);
    return { status: answer.status, text: await answer.text() };
  };
  const readyz = async (port: number): Promise<unknown> => JSON.parse((await ask(port, '/readyz')).text);
  afterEach(() => health.close());

  it('is alive before it is ready', async () => {
    health = new Health();
    const port = await health.listen(0, '127.0.0.1');
    expect((await ask(port, '/livez')).status).toBe(200);
    expect((await ask(port, '/readyz')).status).toBe(503);
    health.serving();
    expect(await ask(port, '/readyz')).toMatchObject({ status: 200 });
  });

  it('says which check fails and why, and only required ones count', async () => {
    health = new Health();
    const port = await health.listen(0, '127.0.0.1');
    health.add('nats', () => null);
    health.add('redis', () => 'connection refused', { informative: true });
    health.serving();
    expect(await ask(port, '/readyz')).toMatchObject({ status: 200 });
    health.add('database', () => Promise.reject(new Error('gone away')));
    expect(await readyz(port)).toEqual({
      status: 'unready',
      checks: [
        { name: 'nats', ok: true, informative: false },
        { name: 'redis', ok: false, informative: true, reason: 'connection refused' },
        { name: 'database', ok: false, informative: false, reason: 'gone away' },
      ],
    });
  });

  it('answers although a check hangs', async () => {
    health = new Health();
    const port = await health.listen(0, '127.0.0.1');
    health.add('database', () => new Promise(() => undefined));
    health.serving();
    expect(await readyz(port)).toMatchObject({ status: 'unready', checks: [{ reason: expect.stringContaining('no answer') }] });
  });

  it('is unready while stopping', async () => {
    health = new Health();
    const port = await health.listen(0, '127.0.0.1');
    health.serving();
    health.stopping();
    expect(await readyz(port)).toMatchObject({ status: 'stopping' });
    health.serving();
    expect((await ask(port, '/readyz')).status).toBe(503);
  });

  it('gives the numbers to Prometheus and nothing to others', async () => {
    const metrics = await createMetrics('compute');
    let requests = 5;
    metrics.watchBus(() => ({ running: 3, dropped: 1, unknown: 0, operations: [{ name: 'compute.vm.get', requests, errors: 2, processingMs: 1500 }] }));
    health = new Health(metrics.registry);
    const port = await health.listen(0, '127.0.0.1');
    const { text } = await ask(port, '/metrics');
    expect(text).toContain('tokamak_bus_requests_total{operation="compute.vm.get",service="compute"} 5');
    expect(text).toContain('tokamak_bus_errors_total{operation="compute.vm.get",service="compute"} 2');
    expect(text).toContain('tokamak_bus_seconds_total{operation="compute.vm.get",service="compute"} 1.5');
    expect(text).toContain('tokamak_bus_running{service="compute"} 3');
    requests = 6;
    expect((await ask(port, '/metrics')).text).toContain('tokamak_bus_requests_total{operation="compute.vm.get",service="compute"} 6');
    expect(text).toContain('nodejs_eventloop_lag_seconds');
    expect(text).toContain('process_resident_memory_bytes');
    expect((await ask(port, '/etc/passwd')).status).toBe(404);
  });
});
