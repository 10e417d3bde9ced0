// Under load, at deadlines, and at the end of a service: bounded, answered, nothing lost.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { connect, headers } from '@nats-io/transport-node';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { deadlineIn } from './deadline.ts';
import { startNatsServer, testDir } from './nats.fixture.ts';
import type { TestNats } from './nats.fixture.ts';
import { hold, startProbe } from './probe.fixture.ts';
import { until } from '#testing';
import type { ProbeService } from './probe.fixture.ts';

let server: TestNats;
let nats: NatsConnection;
let started: ProbeService[];
const start = async (limits = {}): Promise<ProbeService> => {
  const probe = await startProbe(server.url, limits);
  started.push(probe);
  return probe;
};

beforeAll(async () => {
  server = await startNatsServer(testDir());
});
afterAll(() => server.stop());
beforeEach(async () => {
  started = [];
  nats = await connect({ servers: server.url });
});
afterEach(async () => {
  started.forEach(({ ledger }) => ledger.release());
  await Promise.all(started.map(({ app }) => app.close()));
  await nats.close();
});

const askHold = (n: number, timeoutMs?: number): Promise<Msg> => {
  const fields = headers();
  if (timeoutMs !== undefined) fields.set('Tok-Timeout-Ms', String(timeoutMs));
  return nats.request(hold.subject, JSON.stringify({ n }), { timeout: 20_000, headers: fields });
};
const many = (count: number): Promise<Msg>[] => Array.from({ length: count }, (_, n) => askHold(n));
const codeOf = (message: Msg): string => message.headers?.get('Nats-Service-Error') ?? '';

test('2,000 requests at once: never more handlers than allowed, every one answered with its own reply', async () => {
  const { ledger } = await start({ running: 16 });
  const answers = many(2_000);
  await until('the handlers are full', () => ledger.running === 16);
  ledger.release();
  const replies = (await Promise.all(answers)).map((message) => message.json<{ n: number }>().n);
  expect(replies).toEqual(Array.from({ length: 2_000 }, (_, n) => n));
  expect(ledger.mostRunning).toBe(16);
  expect(ledger.held).toEqual(replies); // in order of arrival
});

test('what finds no place to wait is refused at once', async () => {
  const { ledger } = await start({ running: 2, waiting: 3 });
  const answers = many(10);
  const refused = (await Promise.all(answers.slice(5))).map(codeOf);
  expect(refused).toEqual(Array.from({ length: 5 }, () => 'OVERLOADED'));
  ledger.release();
  expect((await Promise.all(answers.slice(0, 5))).map(codeOf)).toEqual(['', '', '', '', '']);
});

test('a request whose time ended while it waited is refused without running', async () => {
  const { ledger } = await start({ running: 1 });
  const first = askHold(1);
  await until('the first runs', () => ledger.held.length === 1);
  const late = askHold(2, 20);
  await nats.request('tok.v1.ha.probe.nothing', '', { timeout: 5_000 }); // refused without waiting, so the late one has arrived
  const late20 = deadlineIn(21);
  await until('its time has ended', () => late20.expired());
  ledger.release();
  expect(codeOf(await late)).toBe('DEADLINE_EXCEEDED');
  expect(codeOf(await first)).toBe('');
  expect(ledger.held).toEqual([1]);
});

test('a handler that outlives its deadline is told so, its caller is answered, and its place stays taken until it ends', async () => {
  const { ledger, server: bus } = await start({ running: 1 });
  expect(codeOf(await askHold(1, 30))).toBe('DEADLINE_EXCEEDED');
  expect(ledger.aborted).toBe(1);
  expect(bus.running).toBe(1);
  ledger.release();
  await until('the handler has ended', () => bus.running === 0);
});

test('a service that is stopped with requests in flight loses none', async () => {
  const { app, ledger } = await start({ running: 8 });
  const answers = many(200);
  await until('the handlers are full', () => ledger.running === 8);
  const closing = app.close();
  await nats.flush();
  ledger.release();
  const codes = (await Promise.all(answers)).map(codeOf);
  await closing;
  expect(codes.filter((code) => code !== '')).toEqual([]);
  expect(ledger.held).toHaveLength(200);
});

test('what does not end within the grace is told that the service stops', async () => {
  const { app, ledger } = await start({ running: 1, graceMs: 50 });
  const answers = many(3);
  await until('one runs', () => ledger.running === 1);
  await app.close();
  expect((await Promise.all(answers)).map(codeOf)).toEqual(['SHUTTING_DOWN', 'SHUTTING_DOWN', 'SHUTTING_DOWN']);
  expect(ledger.aborted).toBe(1);
});

test('two replicas share the work; when one stops in the middle, every request is still answered once', async () => {
  const [one, two] = [await start({ running: 4 }), await start({ running: 4 })];
  const answers = many(400);
  await until('both work', () => one.ledger.running === 4 && two.ledger.running === 4);
  one.ledger.release();
  two.ledger.release();
  const [later] = [many(200), one.app.close()];
  const all = await Promise.all([...answers, ...later]);
  expect(all.map(codeOf).filter((code) => code !== '')).toEqual([]);
  expect(one.ledger.held.length + two.ledger.held.length).toBe(600);
  expect(one.ledger.held.length).toBeGreaterThan(0);
  expect(two.ledger.held.length).toBeGreaterThan(0);
});

test('a service stops also when the NATS server has gone before it', async () => {
  const lost = await startNatsServer(testDir());
  const { app } = await startProbe(lost.url);
  await lost.stop();
  await expect(app.close()).resolves.toBeUndefined();
});
