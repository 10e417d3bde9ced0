// Standard NATS tools find the services, and events have their stream.
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import { startNatsServer, testDir } from './nats.fixture.ts';
import type { TestNats } from './nats.fixture.ts';
import { echo, startProbe } from './probe.fixture.ts';
import type { ProbeService } from './probe.fixture.ts';
import { ensureStreams, EVENTS_STREAM } from './streams.nats.ts';

let server: TestNats;
let nats: NatsConnection;
let replicas: ProbeService[];
beforeAll(async () => {
  server = await startNatsServer(testDir());
  nats = await connect({ servers: server.url });
  replicas = [await startProbe(server.url), await startProbe(server.url)];
});
afterAll(async () => {
  await Promise.all(replicas.map(({ app }) => app.close()));
  await nats.close();
  await server.stop();
});

const collect = async (subject: string): Promise<Record<string, unknown>[]> => {
  const found: Record<string, unknown>[] = [];
  for await (const message of await nats.requestMany(subject, '', { strategy: 'count', maxMessages: 2, maxWait: 1_000 })) found.push(message.json());
  return found.filter((answer) => answer['name'] === 'ha');
};

test('each replica answers a ping under its own id', async () => {
  const answers = await collect('$SRV.PING');
  expect(answers.map((answer) => answer['id']).sort()).toEqual(replicas.map((replica) => replica.server.id).sort());
  expect(answers[0]).toMatchObject({ type: 'io.nats.micro.v1.ping_response', name: 'ha', version: '0.1.0' });
});

test('info lists every operation with subject and queue group, asked for by name or by id', async () => {
  const [info] = await collect('$SRV.INFO.ha');
  expect(info).toMatchObject({ type: 'io.nats.micro.v1.info_response', endpoints: expect.arrayContaining([expect.objectContaining({ name: 'ha-probe-echo', subject: echo.subject, queue_group: 'ha' })]) as unknown });
  const id = replicas[1]?.server.id ?? '';
  expect((await nats.request(`$SRV.INFO.ha.${id}`, '', { timeout: 2_000 })).json()).toMatchObject({ id });
});

test('statistics count what was served and what failed', async () => {
  await nats.request(echo.subject, '{"text":"a"}', { timeout: 2_000 });
  await nats.request(echo.subject, '{', { timeout: 2_000 });
  type Counted = { endpoints: { name: string; num_requests: number; num_errors: number; last_error: string }[] };
  const stats = (await collect('$SRV.STATS.ha')) as unknown as Counted[];
  const echoes = stats.flatMap(({ endpoints }) => endpoints.filter(({ name }) => name === 'ha-probe-echo'));
  expect(echoes.reduce((sum, counts) => sum + counts.num_requests, 0)).toBe(2);
  expect(echoes.reduce((sum, counts) => sum + counts.num_errors, 0)).toBe(1);
  expect(echoes.map((counts) => counts.last_error)).toContain('BAD_JSON');
});

test('the stream of events is made once, kept, and made again after somebody deleted it', async () => {
  const manager = await jetstreamManager(nats);
  await Promise.all([ensureStreams(nats), ensureStreams(nats), ensureStreams(nats)]);
  await jetstream(nats).publish('tok.v1.evt.compute.vm.started.x', '{}');
  await ensureStreams(nats);
  expect((await manager.streams.info(EVENTS_STREAM)).state.messages).toBe(1);
  await manager.streams.delete(EVENTS_STREAM);
  await ensureStreams(nats);
  expect((await manager.streams.info(EVENTS_STREAM)).config).toMatchObject({ subjects: ['tok.v1.evt.>'], storage: 'memory', retention: 'limits', max_age: 3600 * 1e9 });
});
