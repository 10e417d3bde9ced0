// The client: actor, time and trace go along; every failure of the way is a fault.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { NatsConnection } from '@nats-io/transport-node';
import { z } from 'zod';
import type { Result } from '#kernel';
import { defineHostCommand, defineQuery } from '#contracts';
import { newUuid, ok } from '#kernel';
import { BusClient } from './bus.client.ts';
import { connectBus } from './connect.nats.ts';
import { silentLog } from './context.ts';
import type { BusContext } from './context.ts';
import { deadlineIn } from './deadline.ts';
import { hostHandler, serveHost } from './host.server.ts';
import { startNatsServer, testDir } from './nats.fixture.ts';
import { PlanDraft } from './plan-draft.ts';
import type { TestNats } from './nats.fixture.ts';
import { echo, fail, hold, missing, moved, relay, startProbe, tell, tokenOf, who, write } from './probe.fixture.ts';
import { until } from '#testing';
import type { ProbeService } from './probe.fixture.ts';

let server: TestNats;
let probe: ProbeService;
let connection: NatsConnection;
let bus: BusClient;

beforeAll(async () => {
  server = await startNatsServer(testDir());
  connection = await connectBus({ url: server.url, name: 'client', log: silentLog });
  bus = new BusClient({ connection, service: 'compute' });
  probe = await startProbe(server.url);
});
afterAll(async () => {
  probe.ledger.release();
  await probe.app.close();
  await connection.close();
  await server.stop();
});

const codeOf = (result: Result<unknown>): string => (result.ok ? 'ok' : result.fault.code);
const contextOf = (over: Partial<BusContext>): BusContext => ({
  actor: null, system: false, actorToken: null, caller: null, idempotencyKey: null,
  deadline: deadlineIn(5_000), signal: new AbortController().signal, traceId: 'a'.repeat(32), ...over,
});
const ask = { queue: defineQuery('storage.probe.read', { summary: 'Nobody serves it', permission: 'public', input: z.strictObject({}), reply: z.strictObject({}) }) };

test('a reply comes back as a value, a fault as a fault with its details', async () => {
  expect(await bus.request(echo, { text: 'hi' })).toEqual(ok({ text: 'hi' }));
  expect(await bus.request(fail, { how: 'fault' })).toEqual({ ok: false, fault: { code: 'NOT_FOUND', detail: 'There is no such probe.', details: { noun: 'probe', id: '1' } } });
});

test('input that does not fit, a bad key and a body that is too large are refused before they leave', async () => {
  expect(codeOf(await bus.request(hold, { n: 1.5 }))).toBe('INVALID_ARGUMENT');
  expect(codeOf(await bus.request(write, {}, { as: 'system', idempotencyKey: 'ä' }))).toBe('INVALID_ARGUMENT');
  expect(codeOf(await bus.explain(write, {}, { as: 'system' }))).toBe('DRY_RUN_UNSUPPORTED');
  expect(codeOf(await bus.request(echo, { text: 'x'.repeat(1_048_576) }))).toBe('PAYLOAD_TOO_LARGE');
  expect(codeOf(await bus.request(echo, { text: 'x'.repeat(1_048_576 - 40) }))).toBe('PAYLOAD_TOO_LARGE'); // headers count too
});

test('a dry run is explained by its owner, and sends nothing that changes something', async () => {
  expect(await bus.explain(tell, { takesBack: true }, { as: 'system' })).toMatchObject({ ok: true, value: { operation: tell.name, result: { done: 'told' } } });
  const ctx: BusContext = { actor: null, system: true, actorToken: null, caller: 'ha', idempotencyKey: null, dryRun: new PlanDraft(), deadline: deadlineIn(5_000), signal: new AbortController().signal, traceId: 'a'.repeat(32) };
  expect(() => bus.request(write, {}, { ctx, idempotencyKey: 'k' })).toThrow('a dry run was about to send ha.probe.write');
  expect(codeOf(await bus.request(echo, { text: 'a' }, { ctx }))).toBe('ok');
});

test('an operation that the service does not have yet', async () => {
  expect(codeOf(await bus.request(missing, {}))).toBe('UNKNOWN_OPERATION');
});

describe('who asks', () => {
  const token = tokenOf('ann', 'vm.create');
  test.each<[string, Parameters<BusClient['request']>[2], object]>([
    ['the service itself', { as: 'system' }, { handle: null, system: true, caller: 'compute' }],
    ['a user by token', { actorToken: token }, { handle: 'ann', system: false, caller: null }],
    ['the user of the call it is part of', { ctx: contextOf({ actorToken: token }) }, { handle: 'ann', system: false }],
    ['a service in the name of a service that asked it', { ctx: contextOf({ system: true, caller: 'ha' }) }, { system: true, caller: 'compute' }],
    ['the service itself, within a call of a user', { ctx: contextOf({ actorToken: token }), as: 'system' }, { handle: null, system: true }],
  ])('%s', async (_what, options, expected) => {
    expect(await bus.request(who, {}, options)).toMatchObject({ ok: true, value: expected });
  });
  test('nobody', async () => {
    expect(codeOf(await bus.request(who, {}))).toBe('UNAUTHENTICATED');
  });
});

test('trace and time left go along from hop to hop', async () => {
  const result = await bus.request(relay, { timeoutMs: 60_000 }, { ctx: contextOf({}), timeoutMs: 3_000 });
  expect(result).toMatchObject({ ok: true, value: { traceId: 'a'.repeat(32), caller: 'ha' } });
  expect(result.ok && result.value.leftMs).toBeLessThanOrEqual(3_000);
});

test('a call ends at its own deadline, at that of the call it is part of, and when that one is given up', async () => {
  expect(codeOf(await bus.request(hold, { n: 1 }, { timeoutMs: 30 }))).toBe('DEADLINE_EXCEEDED');
  expect(codeOf(await bus.request(hold, { n: 2 }, { ctx: contextOf({ deadline: deadlineIn(30) }) }))).toBe('DEADLINE_EXCEEDED');
  expect(codeOf(await bus.request(hold, { n: 3 }, { ctx: contextOf({ deadline: deadlineIn(0) }) }))).toBe('DEADLINE_EXCEEDED');
  const given = new AbortController();
  const pending = bus.request(hold, { n: 4 }, { ctx: contextOf({ signal: given.signal }) });
  await until('the handler runs', () => probe.ledger.held.includes(4));
  given.abort();
  expect(codeOf(await pending)).toBe('DEADLINE_EXCEEDED');
  expect(probe.ledger.held).not.toContain(3);
});

test('a service that nobody serves is UNAVAILABLE, a host that nobody serves is HOST_UNREACHABLE', async () => {
  const hostId = newUuid();
  expect(codeOf(await bus.request(ask.queue, {}, { timeoutMs: 1_000 }))).toBe('UNAVAILABLE');
  expect(await bus.requestHost(hostId, ping, { text: 'a' })).toMatchObject({ ok: false, fault: { code: 'HOST_UNREACHABLE', details: { hostId } } });
});

const ping = defineHostCommand('probe.ping', { summary: 'Answers', actor: 'host', probe: 'read-only', input: z.strictObject({ text: z.string() }), reply: z.strictObject({ text: z.string() }) });
const lie = defineHostCommand('probe.lie', { summary: 'Answers what no contract says', actor: 'host', probe: 'read-only', input: z.strictObject({}), reply: z.strictObject({}) });

test('a call that nobody took and for which no time is left says that nobody took it, not that it may still happen', async () => {
  const given = new AbortController();
  const givenUpAfterOne = Object.create(connection, {
    request: { value: (...call: Parameters<NatsConnection['request']>) => connection.request(...call).finally(() => setImmediate(() => given.abort())) },
  }) as NatsConnection;
  expect(codeOf(await new BusClient({ connection: givenUpAfterOne, service: 'compute' }).request(ask.queue, {}, { signal: given.signal }))).toBe('UNAVAILABLE');
});

test('a host serves its commands, strictly; its reports and heartbeats arrive with the id from the subject', async () => {
  const hostId = newUuid();
  const host = await serveHost(connection, hostId, [hostHandler(ping, async ({ text }, ctx) => ({ text: `${text} from ${ctx.caller}` }))], { log: silentLog });
  expect(await bus.requestHost(hostId, ping, { text: 'a' }, { as: 'system' })).toEqual(ok({ text: 'a from compute' }));
  const raw = await connection.request(`tok.v1.host.${hostId}.probe.ping`, '{"text":"a","more":1}', { timeout: 2_000 });
  expect(raw.headers?.get('Nats-Service-Error')).toBe('INVALID_ARGUMENT');

  expect(bus.report(hostId, moved, { to: 'there' }).ok).toBe(true);
  expect(bus.heartbeat(hostId, { bootId: 'b' }).ok).toBe(true);
  await until('both have arrived', () => probe.ledger.reports.length > 0 && probe.ledger.heartbeats.length > 0);
  expect(probe.ledger.reports).toEqual([{ hostId, body: { to: 'there' } }]);
  expect(probe.ledger.heartbeats).toEqual([hostId]);

  await host.close();
  expect(codeOf(await bus.requestHost(hostId, ping, { text: 'a' }))).toBe('HOST_UNREACHABLE');
});

test('an answer of a host that breaks its contract is not passed on', async () => {
  const hostId = newUuid();
  const subscription = connection.subscribe(`tok.v1.host.${hostId}.probe.lie`, { callback: (_error, message) => void message.respond('{"root":true}') });
  await connection.flush();
  expect(codeOf(await bus.requestHost(hostId, lie, {}))).toBe('INTERNAL');
  subscription.unsubscribe();
});

test('a command without key is not sent a second time when nobody takes it; a query and a command with key are, until someone does', async () => {
  probe.ledger.release();
  await probe.app.close();
  expect(codeOf(await bus.request(write, {}, { as: 'system' }))).toBe('UNAVAILABLE');
  const pending = [bus.request(echo, { text: 'late' }), bus.request(write, {}, { as: 'system', idempotencyKey: 'k' })];
  probe = await startProbe(server.url);
  expect(await Promise.all(pending)).toEqual([ok({ text: 'late' }), ok({ key: 'k' })]);
});

test('a connection that closes after the request was sent leaves it in doubt, one that was closed before does not', async () => {
  const own = new BusClient({ connection: await connectBus({ url: server.url, name: 'own', log: silentLog }), service: 'compute' });
  await probe.app.close();
  probe = await startProbe(server.url);
  const pending = own.request(hold, { n: 7 });
  await until('the handler runs', () => probe.ledger.held.includes(7));
  await own.connection.close();
  expect(codeOf(await pending)).toBe('DEADLINE_EXCEEDED');
  expect(codeOf(await own.request(hold, { n: 8 }))).toBe('UNAVAILABLE');
});

test('a NATS server that crashes and comes back is found again by both sides', async () => {
  await server.crashAndRestart();
  const end = Date.now() + 10_000;
  let last: Result<unknown> = await bus.request(echo, { text: 'x' }, { timeoutMs: 500 });
  while (!last.ok && Date.now() < end) last = await bus.request(echo, { text: 'x' }, { timeoutMs: 500 });
  expect(last).toEqual(ok({ text: 'x' }));
});
