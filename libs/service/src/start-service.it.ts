import { afterEach, describe, expect, it } from '@jest/globals';
import { Controller, Inject, Module } from '@nestjs/common';
import { connect } from '@nats-io/transport-node';
import { z } from 'zod';
import { BusClient, Handles } from '#bus';
import type { BusContext } from '#bus';
import { ConfigError } from '#config';
import type { ProcessConfig } from '#config';
import { defineQuery } from '#contracts';
import { until } from '#testing';
import { Bus, Config, Db, startService } from './index.ts';
import type { Door, Reconciler, RunningService } from './index.ts';

const greet = defineQuery('compute.welcome.get', { summary: 'A greeting', permission: 'internal', input: z.strictObject({ name: z.string() }), reply: z.strictObject({ text: z.string() }) });
const env = { TOK_NATS_URL: process.env['TOK_TEST_NATS_URL'] ?? '', TOK_LOG_LEVEL: 'fatal' };

/** Holds every greeting until it is told to go on. */
const gate = { hold: Promise.resolve(), entered: 0 };

@Controller()
class Greeter {
  constructor(@Inject(Bus) readonly bus: BusClient, @Inject(Config) readonly config: ProcessConfig) {}

  @Handles(greet)
  async greet({ name }: { name: string }, _ctx: BusContext): Promise<{ text: string }> {
    gate.entered += 1;
    await gate.hold;
    return { text: `hello ${name}` };
  }
}

@Module({ controllers: [Greeter], providers: [Greeter] })
class GreetingModule {}

describe('a service', () => {
  let service: RunningService | undefined;
  afterEach(async () => {
    await service?.stop();
    service = undefined;
    gate.hold = Promise.resolve();
    gate.entered = 0;
  });
  const start = async (tables: { doors?: () => Door[]; reconcilers?: () => Reconciler[] } = {}): Promise<RunningService> => {
    service = await startService({ name: 'compute', module: GreetingModule, ...tables }, { env, ownsProcess: false });
    return service;
  };

  it('answers on the bus, says that it is ready, counts, and injects what it started with', async () => {
    const { healthPort, get } = await start();
    const nats = await connect({ servers: env.TOK_NATS_URL });
    const client = new BusClient({ connection: nats, service: 'compute' });
    expect(await client.request(greet, { name: 'ann' }, { as: 'system' })).toEqual({ ok: true, value: { text: 'hello ann' } });
    await nats.close();
    const ready = await fetch(`http://127.0.0.1:${healthPort}/readyz`);
    expect([ready.status, await ready.json()]).toEqual([200, { status: 'ready', checks: [{ name: 'nats', ok: true, informative: false }] }]);
    expect(await (await fetch(`http://127.0.0.1:${healthPort}/metrics`)).text()).toContain('tokamak_bus_requests_total{operation="compute.welcome.get",service="compute"} 1');
    const greeter = get(Greeter);
    expect(greeter.bus).toBeInstanceOf(BusClient);
    expect(greeter.config.TOK_NATS_URL).toBe(env.TOK_NATS_URL);
  });

  it('answers what it has received before it ends, and only then closes what the answer needs', async () => {
    const order: string[] = [];
    const door: Door = { name: 'rest', open: async () => { await Promise.resolve(order.push('open')); }, close: async () => { await Promise.resolve(order.push('close')); } };
    const running = await start({ doors: () => [door] });
    const nats = await connect({ servers: env.TOK_NATS_URL });
    const client = new BusClient({ connection: nats, service: 'compute' });
    const goOn = Promise.withResolvers<undefined>();
    gate.hold = goOn.promise;
    const asked = Array.from({ length: 100 }, (_, index) => client.request(greet, { name: String(index) }, { as: 'system' }));
    await until('64 are at work', () => gate.entered >= 64);
    const stopped = running.stop();
    await until('it closes', () => order.includes('close'));
    goOn.resolve(undefined);
    expect((await Promise.all(asked)).filter((answer) => answer.ok)).toHaveLength(100);
    expect(await stopped).toBe(true);
    expect(order).toEqual(['open', 'close']);
    await expect(fetch(`http://127.0.0.1:${running.healthPort}/livez`)).rejects.toThrow();
    await nats.close();
  });

  it('runs its reconcilers again after a failure, never two at once, and ends them', async () => {
    let runs = 0;
    let now = 0;
    let most = 0;
    const reconciler: Reconciler = {
      name: 'sample',
      everyMs: 1,
      run: async () => {
        now += 1;
        most = Math.max(most, now);
        runs += 1;
        await new Promise((resolve) => { setTimeout(resolve, 3); });
        now -= 1;
        if (runs === 1) throw new Error('the first run fails');
      },
    };
    const running = await start({ reconcilers: () => [reconciler] });
    await until('it ran three times', () => runs >= 3);
    await running.stop();
    expect(now).toBe(0);
    expect(most).toBe(1);
  });

  it('without a database that asks for one fails at start, and leaves nothing open', async () => {
    @Controller()
    class Wrong {
      constructor(@Inject(Db) readonly db: unknown) {}
    }
    @Module({ controllers: [Wrong] })
    class WrongModule {}
    await expect(startService({ name: 'compute', module: WrongModule }, { env, ownsProcess: false })).rejects.toThrow(/Db/);
  });

  it('with wrong settings says all of them and connects to nothing', async () => {
    const wrong = startService({ name: 'compute', module: GreetingModule, migrations: [] }, { env: { TOK_NATS_URL: 'x' }, ownsProcess: false });
    await expect(wrong).rejects.toThrow(ConfigError);
    await expect(wrong).rejects.toThrow(/TOK_NATS_URL[\s\S]*TOK_MYSQL_URL/);
  });
});
