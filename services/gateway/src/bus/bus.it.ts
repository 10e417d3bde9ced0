// The bus door before services that the test plays: who is let through, with what, and what everybody else is told.
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { connect, headers } from '@nats-io/transport-node';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { NotFound } from '#contracts';
import { newUuid, ok } from '#kernel';
import { until } from '#testing';
import { GatewayUnderTest, holders } from '../gateway.fixture.ts';

let under: GatewayUnderTest;
const users = new Map<string, NatsConnection>();
const vmId = newUuid();

beforeAll(async () => {
  under = await GatewayUnderTest.start();
  for (const handle of ['ann', 'eve', 'may', 'nobody']) users.set(handle, await connect({ servers: under.natsUrl, inboxPrefix: `_INBOX.user.${handle}` }));
});
afterAll(async () => {
  await Promise.all([...users.values()].map((connection) => connection.close()));
  await under.end();
});
afterEach(() => {
  under.asked.length = 0;
  under.withdrawn.clear();
});

interface Answer { readonly status: string; readonly code: string; readonly body: Record<string, unknown> }
const answerOf = (message: Msg): Answer => ({ status: message.headers?.get('Nats-Service-Error-Code') ?? '', code: message.headers?.get('Nats-Service-Error') ?? '', body: message.json() });

async function ask(handle: string, operation: string, body: unknown = {}, given: Readonly<Record<string, string>> = {}): Promise<Answer> {
  const sent = headers();
  for (const [name, value] of Object.entries(given)) sent.set(name, value);
  const data = typeof body === 'string' ? body : JSON.stringify(body);
  return answerOf(await users.get(handle)!.request(`tok.v1.user.${handle}.req.${operation}`, data, { timeout: 5_000, headers: sent }));
}

describe('a request at the bus door', () => {
  it('goes to its owner as the user, with his key and his trace', async () => {
    const ref = { taskId: newUuid(), objectId: vmId };
    under.play('compute.vm.start', () => ok(ref));
    const trace = '0af7651916cd43dd8448eb211c80319c';
    expect(await ask('ann', 'compute.vm.start', { vmId }, { 'Idempotency-Key': 'once', traceparent: `00-${trace}-b7ad6b7169203331-01` })).toEqual({ status: '', code: '', body: ref });
    expect(under.questions('compute.vm.start')).toEqual([expect.objectContaining({ input: { vmId }, actor: 'actor-of-ann', key: 'once', traceparent: expect.stringContaining(trace) })]);
  });

  it('without a key gets one of its own each time', async () => {
    under.play('compute.vm.start', () => ok({ taskId: newUuid(), objectId: vmId }));
    await ask('ann', 'compute.vm.start', { vmId });
    await ask('ann', 'compute.vm.start', { vmId });
    const keys = under.questions('compute.vm.start').map(({ key }) => key);
    expect(keys.every((key) => key.length > 20)).toBe(true);
    expect(new Set(keys).size).toBe(2);
  });

  it('may have no body where nothing has to be said', async () => {
    under.play('compute.vm.list', () => ok({ items: [], next: null }));
    expect(await ask('ann', 'compute.vm.list', '')).toMatchObject({ code: '', body: { items: [] } });
  });

  it('says by itself what a door has to say about the caller, and lets nobody say it of himself', async () => {
    under.play('compute.console-ticket.create', () => ok({ ticket: 'x'.repeat(43), kind: 'vnc', expiresInMs: 30_000, path: '/' }));
    expect(await ask('ann', 'compute.console-ticket.create', { vmId, kind: 'vnc' })).toMatchObject({ code: '' });
    expect(under.questions('compute.console-ticket.create').map(({ input }) => input)).toEqual([{ vmId, kind: 'vnc', holder: holders.ann }]);
    expect(await ask('ann', 'compute.console-ticket.create', { vmId, kind: 'vnc', holder: holders.eve })).toMatchObject({ code: 'INVALID_ARGUMENT' });
    expect(under.questions('compute.console-ticket.create')).toHaveLength(1);
  });

  it('is refused in the words of its owner', async () => {
    under.play('compute.vm.start', () => NotFound.fail('There is no VM with this id.', { noun: 'vm', id: vmId }));
    expect(await ask('ann', 'compute.vm.start', { vmId })).toEqual({ status: '404', code: 'NOT_FOUND', body: { code: 'NOT_FOUND', detail: 'There is no VM with this id.', details: { noun: 'vm', id: vmId }, traceId: expect.any(String) } });
  });

  it.each([
    ['of no operation', 'ann', 'compute.vm.fly', {}, {}, 'UNKNOWN_OPERATION'],
    ['of no operation, in capitals', 'ann', 'COMPUTE.VM.START', {}, {}, 'UNKNOWN_OPERATION'],
    ['for services alone', 'ann', 'auth.session.resolve', { bearer: 'x' }, {}, 'UNKNOWN_OPERATION'],
    ['to sign in', 'ann', 'auth.session.login', { user: 'ann', password: 'x' }, {}, 'UNKNOWN_OPERATION'],
    ['that is no JSON', 'ann', 'compute.vm.start', '{', {}, 'BAD_JSON'],
    ['that is no object', 'ann', 'compute.vm.start', '[1]', {}, 'INVALID_ARGUMENT'],
    ['that does not fit', 'ann', 'compute.vm.start', { vmId: 'x' }, {}, 'INVALID_ARGUMENT'],
    ['with a wrong key', 'ann', 'compute.vm.start', { vmId }, { 'Idempotency-Key': 'k'.repeat(200) }, 'INVALID_ARGUMENT'],
    ['with a wrong time', 'ann', 'compute.vm.start', { vmId }, { 'Tok-Timeout-Ms': 'soon' }, 'INVALID_ARGUMENT'],
    ['of one without the right', 'eve', 'compute.vm.create', { name: 'x' }, {}, 'PERMISSION_DENIED'],
    ['of one who needs a new password', 'may', 'compute.vm.start', { vmId }, {}, 'PASSWORD_CHANGE_REQUIRED'],
    ['of one whom auth does not know', 'nobody', 'compute.vm.start', { vmId }, {}, 'UNAUTHENTICATED'],
    ['that would be another user, says its header', 'eve', 'compute.vm.create', { name: 'x' }, { 'Tok-Actor': 'actor-of-ann' }, 'PERMISSION_DENIED'],
    ['that would be a service, says its header', 'eve', 'compute.vm.create', { name: 'x' }, { 'Tok-Actor': 'service:compute' }, 'PERMISSION_DENIED'],
  ] as const)('%s never reaches an owner', async (_what, handle, operation, body, given, code) => {
    expect(await ask(handle, operation, body, given)).toMatchObject({ code, body: { code, detail: expect.any(String) } });
    expect(under.asked.filter(({ operation: asked }) => asked.startsWith('compute.'))).toEqual([]);
  });

  it('whose answer would go to somebody else is not answered at all, and not carried out', async () => {
    const overheard: string[] = [];
    for (const inbox of ['_INBOX.compute.1', '_INBOX.user.eve.1', 'tok.v1.host.h1.vm.start']) under.nats.subscribe(inbox, { callback: (_error, { subject }) => { overheard.push(subject); } });
    await under.nats.flush();
    const ann = users.get('ann')!;
    for (const reply of ['_INBOX.compute.1', '_INBOX.user.eve.1', 'tok.v1.host.h1.vm.start']) ann.publish('tok.v1.user.ann.req.compute.vm.start', JSON.stringify({ vmId }), { reply });
    ann.publish('tok.v1.user.ann.req.compute.vm.start', JSON.stringify({ vmId }));
    await ask('ann', 'compute.vm.list');
    expect(overheard).toEqual([]);
    expect(under.questions('compute.vm.start')).toEqual([]);
  });

  it('of a user who was disabled is refused from the moment that auth says so', async () => {
    under.play('compute.vm.list', () => ok({ items: [], next: null }));
    expect((await ask('ann', 'compute.vm.list')).code).toBe('');
    under.withdrawn.add('ann');
    await under.announceChange('ann');
    await until('ann is refused', async () => (await ask('ann', 'compute.vm.list')).code === 'UNAUTHENTICATED');
    under.withdrawn.clear();
    await under.announceChange('ann');
    await until('ann is let in again', async () => (await ask('ann', 'compute.vm.list')).code === '');
  });

  it('is one of 64 at most that a user has under way; the others are told to wait', async () => {
    const gate = Promise.withResolvers<undefined>();
    under.play('compute.vm.list', async () => { await gate.promise; return ok({ items: [], next: null }); });
    const asking = Array.from({ length: 70 }, () => ask('ann', 'compute.vm.list'));
    await until('64 have reached the owner', () => under.questions('compute.vm.list').length === 64);
    expect((await ask('ann', 'compute.vm.list')).code).toBe('RATE_LIMITED');
    under.play('compute.cluster.list', () => ok({ items: [], next: null }));
    expect((await ask('eve', 'compute.cluster.list')).code).toBe('');
    gate.resolve(undefined);
    const codes = (await Promise.all(asking)).map(({ code }) => code);
    expect([codes.filter((code) => code === '').length, codes.filter((code) => code === 'RATE_LIMITED').length]).toEqual([64, 6]);
  });
});

it('counts what it answers and whom it denies', async () => {
  const text = await (await fetch(`http://127.0.0.1:${under.healthPort}/metrics`)).text();
  expect(text).toMatch(/tokamak_bus_door_requests_total\{[^}]*operation="compute.vm.start"[^}]*status="404"[^}]*\} 1/);
  expect(text).toMatch(/tokamak_bus_door_denials_total\{[^}]*code="PERMISSION_DENIED"[^}]*\} \d/);
});

it('finishes what is inside when it closes, and takes nothing more', async () => {
  const gate = Promise.withResolvers<undefined>();
  under.play('compute.vm.list', async () => { await gate.promise; return ok({ items: [], next: null }); });
  const asking = ask('ann', 'compute.vm.list');
  await until('it has reached the owner', () => under.questions('compute.vm.list').length === 1);
  const stopping = under.stop();
  await until('nobody listens any more', () => ask('ann', 'compute.vm.list').then(({ code }) => code !== '', () => true));
  gate.resolve(undefined);
  expect((await asking).code).toBe('');
  await stopping;
});
