// Whatever arrives on a service's subjects is answered with a reason, or dropped where an answer would do harm.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { connect, headers } from '@nats-io/transport-node';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { ErrorBody } from '#contracts';
import { startNatsServer, testDir } from './nats.fixture.ts';
import type { TestNats } from './nats.fixture.ts';
import { echo, startProbe, tokenOf } from './probe.fixture.ts';
import { until } from '#testing';
import type { ProbeService } from './probe.fixture.ts';

let server: TestNats;
let probe: ProbeService;
let nats: NatsConnection;

beforeAll(async () => {
  server = await startNatsServer(testDir());
  nats = await connect({ servers: server.url });
  probe = await startProbe(server.url, { bodyBytes: 64 * 1024 });
});
afterAll(async () => {
  await probe.app.close();
  await nats.close();
  await server.stop();
});

const ask = (subject: string, body: string | Uint8Array, fields: Record<string, string> = {}): Promise<Msg> => {
  const given = headers();
  for (const [name, value] of Object.entries(fields)) given.set(name, value);
  return nats.request(`tok.v1.ha.probe.${subject}`, body, { timeout: 5_000, headers: given });
};
const refusal = (message: Msg): ErrorBody => {
  const body = ErrorBody.parse(message.json());
  expect(message.headers?.get('Nats-Service-Error')).toBe(body.code);
  return body;
};
const deep = '['.repeat(100_000) + ']'.repeat(100_000);

test('a good request is answered with its reply and nothing else', async () => {
  const message = await ask('echo', '{"text":"ab","times":2}');
  expect(message.json()).toEqual({ text: 'abab' });
  expect(message.headers?.has('Nats-Service-Error') ?? false).toBe(false);
});

describe('a request that cannot be served is refused', () => {
  const table: [what: string, verb: string, body: string | Uint8Array, fields: Record<string, string>, code: string, number: string][] = [
    ['bad JSON', 'echo', '{"text":', {}, 'BAD_JSON', '400'],
    ['bytes that are not UTF-8', 'echo', new Uint8Array([0x22, 0xff, 0xfe, 0x22]), {}, 'BAD_JSON', '400'],
    ['a body that nests too deep', 'who', deep.slice(0, 60_000), { 'Tok-Actor': 'service:ha' }, 'BAD_JSON', '400'],
    ['an unknown operation', 'nothing', '{}', {}, 'UNKNOWN_OPERATION', '404'],
    ['a longer subject', 'echo.more', '{"text":"a"}', {}, 'UNKNOWN_OPERATION', '404'],
    ['a body over the limit', 'echo', JSON.stringify({ text: 'x'.repeat(70_000) }), {}, 'PAYLOAD_TOO_LARGE', '413'],
    ['an unknown field', 'echo', '{"text":"a","extra":1}', {}, 'INVALID_ARGUMENT', '400'],
    ['a field named __proto__', 'echo', '{"text":"a","__proto__":{"times":3}}', {}, 'INVALID_ARGUMENT', '400'],
    ['a wrong type', 'echo', '{"text":7}', {}, 'INVALID_ARGUMENT', '400'],
    ['no object at all', 'echo', '[]', {}, 'INVALID_ARGUMENT', '400'],
    ['an absurd timeout', 'echo', '{"text":"a"}', { 'Tok-Timeout-Ms': '-1' }, 'INVALID_ARGUMENT', '400'],
    ['no credentials', 'who', '{}', {}, 'UNAUTHENTICATED', '401'],
    ['a token that does not hold', 'who', '{}', { 'Tok-Actor': 'nonsense' }, 'UNAUTHENTICATED', '401'],
    ['a malformed service name', 'who', '{}', { 'Tok-Actor': 'service:' }, 'INVALID_ARGUMENT', '400'],
    ['a user without the right', 'who', '{}', { 'Tok-Actor': tokenOf('eve', 'vm.read') }, 'PERMISSION_DENIED', '403'],
    ['a user on an internal operation', 'secret', '{}', { 'Tok-Actor': tokenOf('eve', 'vm.create') }, 'PERMISSION_DENIED', '403'],
    ['a command without idempotency key', 'write', '{}', { 'Tok-Actor': 'service:ha' }, 'INVALID_ARGUMENT', '400'],
    ['an idempotency key that is too long', 'write', '{}', { 'Tok-Actor': 'service:ha', 'Idempotency-Key': 'k'.repeat(129) }, 'INVALID_ARGUMENT', '400'],
    ['a dry run of what cannot be explained', 'write', '{}', { 'Tok-Actor': 'service:ha', 'Tok-Dry-Run': 'true' }, 'DRY_RUN_UNSUPPORTED', '400'],
    ['a dry run of a question', 'echo', '{"text":"a"}', { 'Tok-Dry-Run': 'true' }, 'DRY_RUN_UNSUPPORTED', '400'],
    ['a dry run that is half meant', 'tell', '{"takesBack":true}', { 'Tok-Actor': 'service:ha', 'Tok-Dry-Run': 'yes' }, 'INVALID_ARGUMENT', '400'],
    ['a dry run that was not taken back', 'tell', '{"takesBack":false}', { 'Tok-Actor': 'service:ha', 'Tok-Dry-Run': 'true' }, 'INTERNAL', '500'],
    ['a fault', 'fail', '{"how":"fault"}', {}, 'NOT_FOUND', '404'],
    ['a thrown fault', 'fail', '{"how":"thrown-fault"}', {}, 'NOT_FOUND', '404'],
    ['a bug', 'fail', '{"how":"bug"}', {}, 'INTERNAL', '500'],
    ['a reply that breaks its contract', 'fail', '{"how":"bad-reply"}', {}, 'INTERNAL', '500'],
    ['a reply larger than the bus carries', 'fail', '{"how":"huge-reply"}', {}, 'PAYLOAD_TOO_LARGE', '413'],
  ];
  test.each(table)('%s', async (_what, verb, body, fields, code, number) => {
    const message = await ask(verb, body, fields);
    expect(refusal(message).code).toBe(code);
    expect(message.headers?.get('Nats-Service-Error-Code')).toBe(number);
  });

  test('with the path of each issue', async () => {
    const { details } = refusal(await ask('echo', '{"text":1,"times":"x"}'));
    expect(details).toEqual({ issues: [expect.objectContaining({ path: 'text' }), expect.objectContaining({ path: 'times' })] });
  });

  test('a bug is told to the log, not to the caller', async () => {
    const message = await ask('fail', '{"how":"bug"}', { traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' });
    expect(message.string()).not.toContain('SELECT');
    expect(refusal(message).traceId).toBe('0af7651916cd43dd8448eb211c80319c');
    expect(probe.ledger.errors).toContainEqual(expect.objectContaining({ traceId: '0af7651916cd43dd8448eb211c80319c', err: new Error('SELECT secret FROM users') }));
  });
});

test('a dry run needs no key and is answered with its plan, without what the reader may not see', async () => {
  const plan = { operation: 'ha.probe.tell', task: null, succeeds: true, error: null, checks: ['It can be told.'], warnings: [], steps: [], result: { done: 'told' } };
  const told = { text: 'it is told', details: { loudly: true } };
  const dry = (actor: string) => ask('tell', '{"takesBack":true}', { 'Tok-Actor': actor, 'Tok-Dry-Run': 'true' });
  expect((await dry(tokenOf('ann', 'vm.power'))).json()).toEqual({ ...plan, decisions: [told] });
  expect((await dry(tokenOf('ann', 'vm.power', 'host.read'))).json()).toEqual({ ...plan, decisions: [told, { text: 'for other eyes' }] });
});

test('a body over the limit of the NATS server never reaches the service', async () => {
  expect(() => nats.publish(echo.subject, new Uint8Array(2 * 1024 * 1024))).toThrow('max_payload');
});

test('an empty body stands for no input', async () => {
  expect((await ask('who', '', { 'Tok-Actor': tokenOf('ann', 'vm.create') })).json()).toMatchObject({ handle: 'ann', system: false });
});

test('a service on its own behalf passes every coarse check', async () => {
  expect((await ask('secret', '{}', { 'Tok-Actor': 'service:compute' })).json()).toEqual({});
  expect((await ask('who', '{}', { 'Tok-Actor': 'service:compute' })).json()).toMatchObject({ handle: null, system: true, caller: 'compute' });
});

test('a right that owners have needs no grant here: the owner of the object decides', async () => {
  const fields = { 'Tok-Actor': tokenOf('bob'), 'Idempotency-Key': 'once' };
  expect((await ask('write', '{}', fields)).json()).toEqual({ key: 'once' });
});

test.each(['tok.v1.host.h1.vm.start', 'tok.v1.ha.probe.echo', '_INBOX', '_INBOX.>', '_INBOXES.a', '$JS.API.STREAM.DELETE.EVENTS'])('nothing is published to the reply subject %s', async (reply) => {
  const before = probe.server.tally.badReply;
  const request = '{"text":"payload","times":2}';
  const received: string[] = [];
  const victim = nats.subscribe('>', { callback: (_error, message) => void received.push(`${message.subject} ${message.string()}`) });
  nats.publish(echo.subject, request, { reply });
  await until('the drop is counted', () => probe.server.tally.badReply === before + 1);
  const answer = await ask('echo', '{"text":"after"}'); // whatever was published before this answer has arrived before it
  victim.unsubscribe();
  expect(answer.json()).toEqual({ text: 'after' });
  expect(received.filter((line) => line.includes('payload'))).toEqual([`${echo.subject} ${request}`]);
  expect(received.filter((line) => line.startsWith(`${reply} `) && !line.includes('{"text":'))).toEqual([]);
});

test('a request without reply subject runs nothing', async () => {
  const before = probe.server.tally.noReply;
  nats.publish('tok.v1.ha.probe.hold', '{"n":1}');
  await until('the drop is counted', () => probe.server.tally.noReply === before + 1);
  expect(probe.ledger.held).toEqual([]);
});
