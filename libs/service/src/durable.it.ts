import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Inject, Injectable, Module } from '@nestjs/common';
import { connect } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import { createConnection } from 'mysql2/promise';
import type { DataSource } from 'typeorm';
import { z } from 'zod';
import { BusClient, Handles } from '#bus';
import type { BusContext } from '#bus';
import { computeTask, defineCommand, defineQuery, EventEnvelope, eventsRead, TaskRef } from '#contracts';
import { defineMigration } from '#database';
import { newUuid, ok } from '#kernel';
import type { Result } from '#kernel';
import { defineTask, runCommand, TaskEngine } from '#tasks';
import { until } from '#testing';
import { Db, startService, Tasks } from './index.ts';
import type { RunningService } from './index.ts';

const adminUrl = process.env['TOK_TEST_MYSQL_URL'] ?? '';
const env = { TOK_NATS_URL: process.env['TOK_TEST_NATS_URL'] ?? '', TOK_REDIS_URL: process.env['TOK_TEST_REDIS_URL'] ?? '', TOK_LOG_LEVEL: 'fatal' };
const schemas = { compute: `svc_compute_${process.pid}`, scheduler: `svc_scheduler_${process.pid}` };

async function admin(...statements: string[]): Promise<void> {
  const connection = await createConnection(adminUrl);
  for (const statement of statements) await connection.query(statement);
  await connection.end();
}

function envOf(name: keyof typeof schemas): Record<string, string> {
  const url = new URL(adminUrl);
  url.pathname = `/${schemas[name]}`;
  return { ...env, TOK_MYSQL_URL: url.href };
}

const paint = defineCommand('compute.sample.paint', { summary: 'Paints', permission: 'internal', input: z.strictObject({ colour: z.string() }), reply: TaskRef });
const painting = defineTask<{ colour: string }>({
  kind: 'compute.sample.paint',
  object: 'sample',
  steps: [{ name: 'mix', run: (ctx) => Promise.resolve({ mixed: ctx.input.colour }) }],
});

@Controller()
class Painter {
  constructor(@Inject(Db) private readonly db: DataSource, @Inject(Tasks) private readonly tasks: TaskEngine) {}

  @Handles(paint)
  paint(input: { colour: string }, ctx: BusContext): Promise<Result<TaskRef>> {
    return runCommand(this.db, { ctx, operation: paint, input }, (tx) => this.tasks.start(tx, painting, { objectId: newUuid(), input, ctx }));
  }
}
@Module({ controllers: [Painter] })
class PainterModule {}

@Injectable()
class Heard {
  readonly events: EventEnvelope[] = [];
}
@Module({ providers: [Heard] })
class HearingModule {}

/** Ha as an earlier version answers for its events: it knows no nouns, and does not say how far an answer goes. */
const earlierRead = defineQuery('ha.events.read', {
  summary: 'Events', permission: 'internal', input: z.strictObject({ afterSeq: z.int(), limit: z.int() }), reply: z.strictObject({ events: z.array(EventEnvelope), lastSeq: z.int(), firstSeq: z.int() }),
});
const thingOf = (seq: number, noun: string): EventEnvelope => EventEnvelope.parse({ id: newUuid(), seq, at: new Date().toISOString(), source: 'ha', name: `ha.${noun}.changed`, version: 1, noun, objectId: newUuid(), actor: null, traceId: null, taskId: null, data: {} });
const earlierEvents = [thingOf(1, 'host'), thingOf(2, 'liveness'), thingOf(3, 'liveness'), thingOf(4, 'host')];

@Controller()
class EarlierOwner {
  @Handles(earlierRead)
  read({ afterSeq, limit }: { afterSeq: number; limit: number }): Promise<Result<{ events: EventEnvelope[]; lastSeq: number; firstSeq: number }>> {
    return Promise.resolve(ok({ events: earlierEvents.filter(({ seq }) => seq > afterSeq).slice(0, limit), lastSeq: 4, firstSeq: 1 }));
  }
}
@Module({ controllers: [EarlierOwner] })
class EarlierModule {}

describe('a service that keeps something', () => {
  let nats: NatsConnection;
  let client: BusClient;
  const running: RunningService[] = [];

  beforeAll(async () => {
    await admin(...Object.values(schemas).map((name) => `CREATE SCHEMA ${name}`));
    nats = await connect({ servers: env.TOK_NATS_URL });
    client = new BusClient({ connection: nats, service: 'monitoring' });
  });
  afterEach(async () => {
    expect(await Promise.all(running.splice(0).map((service) => service.stop()))).not.toContain(false);
  });
  afterAll(async () => {
    await nats.close();
    await admin(...Object.values(schemas).map((name) => `DROP SCHEMA ${name}`));
  });

  const compute = async (): Promise<RunningService> => {
    const service = await startService({ name: 'compute', module: PainterModule, migrations: [], tasks: () => [painting] }, { env: envOf('compute'), ownsProcess: false });
    running.push(service);
    return service;
  };
  const scheduler = async (): Promise<RunningService> => {
    const service = await startService({
      name: 'scheduler',
      module: HearingModule,
      migrations: [defineMigration('scheduler.0001-sample', ['CREATE TABLE sample (id int PRIMARY KEY)'])],
      consumers: (parts) => [{ name: 'scheduler', sources: ['compute'], handle: (_tx, event) => Promise.resolve(void parts.get(Heard).events.push(event)) }],
    }, { env: envOf('scheduler'), ownsProcess: false });
    running.push(service);
    return service;
  };
  const readiness = async ({ healthPort }: RunningService): Promise<unknown> => (await fetch(`http://127.0.0.1:${healthPort}/readyz`)).json();

  it('says whether database and Redis are there', async () => {
    const service = await compute();
    await until('Redis is back', async () => JSON.stringify(await readiness(service)).includes('"name":"redis","ok":true'));
    expect(await readiness(service)).toMatchObject({ status: 'ready', checks: [{ name: 'nats', ok: true }, { name: 'database', ok: true }, { name: 'redis', ok: true, informative: true }] });
  });

  it('is ready without Redis', async () => {
    const service = await startService({ name: 'compute', module: PainterModule, migrations: [], tasks: () => [painting] }, { env: { ...envOf('compute'), TOK_REDIS_URL: 'redis://127.0.0.1:1' }, ownsProcess: false });
    running.push(service);
    expect(await readiness(service)).toMatchObject({ status: 'ready', checks: expect.arrayContaining([expect.objectContaining({ name: 'redis', ok: false, informative: true })]) });
  });

  it('runs its tasks and answers for them', async () => {
    await compute();
    const started = await client.request(paint, { colour: 'red' }, { as: 'system', idempotencyKey: newUuid() });
    if (!started.ok) throw new Error(started.fault.detail);
    const { taskId } = started.value;
    const stateOf = async (): Promise<string> => {
      const task = await client.request(computeTask.get, { taskId }, { as: 'system' });
      return task.ok ? task.value.state : task.fault.code;
    };
    await until('the task succeeds', async () => (await stateOf()) === 'succeeded');
    const list = await client.request(computeTask.list, {}, { as: 'system' });
    expect(list).toMatchObject({ ok: true, value: { items: expect.arrayContaining([expect.objectContaining({ id: taskId, state: 'succeeded' })]) } });
    expect(await client.request(computeTask.cancel, { taskId }, { as: 'system', idempotencyKey: newUuid() })).toMatchObject({ ok: false, fault: { code: 'TASK_NOT_CANCELLABLE' } });
  });

  it('asks an owner of an earlier version for all of its events', async () => {
    running.push(await startService({ name: 'ha', module: EarlierModule }, { env, ownsProcess: false }));
    const service = await startService({
      name: 'scheduler', module: HearingModule, migrations: [],
      consumers: (parts) => [{ name: 'earlier', sources: ['ha'], filters: ['ha.liveness.changed'], handle: (_tx, event) => Promise.resolve(void parts.get(Heard).events.push(event)) }],
    }, { env: envOf('scheduler'), ownsProcess: false });
    running.push(service);
    await until('what it wants of them is there', () => service.get(Heard).events.length === 2);
    expect(service.get(Heard).events.map(({ seq }) => seq)).toEqual([2, 3]);
  });

  it('sends its events, answers for them, and another takes each in once', async () => {
    await compute();
    const { get } = await scheduler();
    const started = await client.request(paint, { colour: 'blue' }, { as: 'system', idempotencyKey: newUuid() });
    if (!started.ok) throw new Error(started.fault.detail);
    const heard = (): EventEnvelope[] => get(Heard).events.filter((event) => JSON.stringify(event.data).includes(started.value.taskId));
    await until('its end is told', () => heard().some((event) => JSON.stringify(event.data).includes('"succeeded"')));
    const sequence = get(Heard).events.map((event) => event.seq);
    expect(sequence).toEqual(sequence.map((_, index) => index + (sequence[0] ?? 0)));
    const read = await client.request(eventsRead('compute'), { afterSeq: 0 }, { as: 'system' });
    expect(read.ok && read.value.events.map((event) => event.seq)).toEqual(expect.arrayContaining(sequence));
  });
});
