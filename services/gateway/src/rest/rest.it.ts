import { request as httpRequest } from 'node:http';
import { connect as connectTcp } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { asyncApi, openApi } from '#contracts';
import { newUuid, ok } from '#kernel';
import { version } from '#config';
import { until } from '#testing';
import { GatewayUnderTest, people } from '../gateway.fixture.ts';

let gateway: GatewayUnderTest;
beforeAll(async () => { gateway = await GatewayUnderTest.start(); }, 30_000);
afterAll(() => gateway.end());
beforeEach(() => {
  gateway.asked.length = 0;
  gateway.withdrawn.clear();
});

const vmId = newUuid();
const clusterId = newUuid();
const json = { 'content-type': 'application/json' };
const post = (path: string, body: unknown, more: Record<string, string> = {}) => gateway.fetch(path, { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body), headers: { ...json, ...more } });

/** Writes bytes to the door and reads all it answers until it closes the connection. */
function raw(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(gateway.url);
    const socket = connectTcp(Number(port), hostname, () => socket.write(text));
    let answer = '';
    socket.on('data', (chunk: Buffer) => { answer += chunk.toString(); }).on('close', () => { resolve(answer); }).on('error', reject);
  });
}

describe('an operation', () => {
  it('is asked from its owner with the path, the actor and the trace, and answered with its version as ETag', async () => {
    gateway.play('compute.cluster.get', () => ok({ id: clusterId, name: 'first', version: 7 }));
    const trace = 'a'.repeat(32);
    const answer = await gateway.fetch(`/v1/clusters/${clusterId}`, { headers: { traceparent: `00-${trace}-${'b'.repeat(16)}-01` } });
    expect([answer.status, answer.headers.get('etag'), answer.headers.get('content-type'), answer.headers.get('x-request-id')]).toEqual([200, '"7"', 'application/json; charset=utf-8', trace]);
    expect(await answer.json()).toEqual({ id: clusterId, name: 'first', version: 7 });
    expect(gateway.questions('compute.cluster.get')).toMatchObject([{ input: { clusterId }, actor: 'actor-of-ann', key: '' }]);
    expect(gateway.questions('compute.cluster.get')[0]?.traceparent).toContain(trace);
  });

  it('that starts a task answers 202 with the task, echoes the key it was given and makes one up otherwise', async () => {
    const taskId = newUuid();
    gateway.play('compute.vm.start', () => ok({ taskId, objectId: vmId }));
    const given = await post(`/v1/vms/${vmId}/start`, '', { 'idempotency-key': 'my key 1' });
    expect([given.status, given.headers.get('location'), given.headers.get('idempotency-key')]).toEqual([202, `/v1/tasks/${taskId}`, 'my key 1']);
    const without = await gateway.fetch(`/v1/vms/${vmId}/start`, { method: 'POST' });
    expect(without.headers.get('idempotency-key')).toMatch(/^[0-9a-f-]{36}$/);
    expect(gateway.questions('compute.vm.start').map(({ key }) => key)).toEqual(['my key 1', without.headers.get('idempotency-key')]);
    expect((await post(`/v1/vms/${vmId}/start`, {}, { 'idempotency-key': 'x'.repeat(129) })).status).toBe(400);
  });

  it('that can be explained is asked for a plan with dryRun, and nothing of it is kept', async () => {
    const plan = { operation: 'compute.vm.start', task: 'compute.vm.start', succeeds: true, error: null, checks: [], decisions: [], warnings: [], steps: [], result: null };
    gateway.play('compute.vm.start', ({ dry }) => ok(dry ? plan : { taskId: newUuid(), objectId: vmId }));
    const told = await post(`/v1/vms/${vmId}/start?dryRun=true`, {});
    expect([told.status, told.headers.get('location'), told.headers.get('idempotency-key'), await told.json()]).toEqual([200, null, null, plan]);
    expect(gateway.questions('compute.vm.start')).toMatchObject([{ dry: true, key: '', input: { vmId } }]);
    expect((await post(`/v1/vms/${vmId}/start?dryRun=false`, {})).status).toBe(202);
    expect(gateway.questions('compute.vm.start').map(({ dry, input }) => [dry, input])).toEqual([[true, { vmId }], [false, { vmId }]]);
  });

  it.each([
    ['an operation that cannot be explained', () => post('/v1/datastores?dryRun=true', {}), 'DRY_RUN_UNSUPPORTED'],
    ['another word than true', () => post(`/v1/vms/${vmId}/start?dryRun=1`, {}), 'INVALID_ARGUMENT'],
    ['it twice', () => post(`/v1/vms/${vmId}/start?dryRun=true&dryRun=false`, {}), 'INVALID_ARGUMENT'],
    ['it in the body', () => post(`/v1/vms/${vmId}/start`, { dryRun: true }), 'INVALID_ARGUMENT'],
    ['a question', () => gateway.fetch(`/v1/vms/${vmId}?dryRun=true`), 'INVALID_ARGUMENT'],
  ])('refuses dryRun: %s', async (_what, send, code) => {
    expect(await (await send()).json()).toMatchObject({ code });
    expect(gateway.asked.filter(({ operation }) => operation !== 'auth.session.resolve')).toEqual([]);
  });

  it('that makes an object answers 201 and where it is', async () => {
    gateway.play('compute.cluster.create', ({ input }) => ok({ id: clusterId, version: 1, ...input }));
    const answer = await post('/v1/clusters', { name: 'second' });
    expect([answer.status, answer.headers.get('location'), answer.headers.get('etag')]).toEqual([201, `/v1/clusters/${clusterId}`, '"1"']);
  });

  it('takes If-Match as version and refuses what is no ETag', async () => {
    gateway.play('compute.cluster.update', () => ok({ id: clusterId, version: 8 }));
    const patch = (ifMatch: string, body: object = { name: 'x' }) => gateway.fetch(`/v1/clusters/${clusterId}`, { method: 'PATCH', body: JSON.stringify(body), headers: { ...json, 'if-match': ifMatch } });
    expect((await patch('"7"')).status).toBe(200);
    expect((await patch('*')).status).toBe(200);
    expect(gateway.questions('compute.cluster.update').map(({ input }) => input['version'])).toEqual([7, undefined]);
    for (const wrong of ['7', 'W/"7"', '"7", "8"', '"seven"']) expect([wrong, (await patch(wrong)).status]).toEqual([wrong, 400]);
    expect((await patch('"7"', { name: 'x', version: 7 })).status).toBe(400);
    expect((await gateway.fetch(`/v1/vms/${vmId}/start`, { method: 'POST', headers: { 'if-match': '"1"' } })).status).toBe(400);
    gateway.play('compute.cluster.update', () => ({ ok: false, fault: { code: 'VERSION_CONFLICT', detail: 'changed', details: { expected: 7, actual: 8 } } }));
    expect((await patch('"7"')).status).toBe(412);
  });

  it.each(['Ünïcode ✓ name', '<img src=x onerror=alert(1)>', "'; DROP TABLE vm; --", '$(reboot)', '../../etc/passwd', '%00', '{{7*7}}', '\u202etxt.exe', '"quoted" \\ back', '${jndi:ldap://x}'])('carries the hostile text %j unchanged', async (text) => {
    gateway.play('compute.vm.update', ({ input }) => ok({ id: vmId, version: 2, description: input['description'] }));
    const answer = await gateway.fetch(`/v1/vms/${vmId}`, { method: 'PATCH', body: JSON.stringify({ description: text }), headers: json });
    expect([answer.status, answer.headers.get('x-content-type-options')]).toEqual([200, 'nosniff']);
    expect(((await answer.json()) as { description: string }).description).toBe(text);
  });

  it('gives the address of a sign-in itself and takes none from the client', async () => {
    gateway.play('auth.session.login', () => ok({ accessToken: 'a' }));
    const sent = { user: 'ann', password: 'a password' };
    expect((await gateway.fetch('/v1/sessions', { as: null, method: 'POST', body: JSON.stringify(sent), headers: json })).status).toBe(200);
    expect(gateway.questions('auth.session.login')[0]?.input).toEqual({ ...sent, address: '127.0.0.1' });
    expect((await gateway.fetch('/v1/sessions', { as: null, method: 'POST', body: JSON.stringify({ ...sent, address: '192.0.2.1' }), headers: json })).status).toBe(400);
  });
});

describe('a caller', () => {
  it('is asked for once, and again when auth says that he changed', async () => {
    gateway.play('compute.cluster.list', () => ok({ items: [], next: null }));
    await gateway.announceChange('eve');
    for (let turn = 0; turn < 5; turn++) expect((await gateway.fetch('/v1/clusters', { as: 'eve' })).status).toBe(200);
    expect(gateway.questions('auth.session.resolve').filter(({ input }) => input['bearer'] === 'eve')).toHaveLength(1);
    gateway.withdrawn.add('eve');
    await gateway.announceChange('eve');
    let status = 200;
    for (let turn = 0; turn < 100 && status === 200; turn++) status = (await gateway.fetch('/v1/clusters', { as: 'eve' })).status;
    expect(status).toBe(401);
  });

  it('without the right is refused at the door, and the owner is not asked', async () => {
    const answer = await gateway.fetch('/v1/clusters', { as: 'eve', method: 'POST', body: '{"name":"mine"}', headers: json });
    expect([answer.status, await answer.json()]).toMatchObject([403, { code: 'PERMISSION_DENIED', details: { permission: 'cluster.write' } }]);
    expect(gateway.questions('compute.cluster.create')).toEqual([]);
  });

  it('who must set a password may do that and nothing else', async () => {
    gateway.play('auth.user.set-password', () => ok({}));
    const refused = await gateway.fetch('/v1/clusters', { as: 'may' });
    expect([refused.status, await refused.json()]).toMatchObject([403, { code: 'PASSWORD_CHANGE_REQUIRED' }]);
    const set = await gateway.fetch(`/v1/users/${people.may.userId}/set-password`, { as: 'may', method: 'POST', body: JSON.stringify({ currentPassword: 'x', newPassword: 'a longer password' }), headers: json });
    expect(set.status).toBe(200);
  });
});

describe('a refusal', () => {
  const large = JSON.stringify({ name: 'x'.repeat(1_100_000) });
  const cases: readonly (readonly [string, string, string, RequestInit & { as?: 'ann' | null }, number, string])[] = [
    ['no path', 'GET', '/v1/nothing', {}, 404, 'UNKNOWN_OPERATION'],
    ['no path at all', 'GET', '/wp-login.php', {}, 404, 'UNKNOWN_OPERATION'],
    ['another method', 'PUT', '/v1/vms', {}, 405, 'METHOD_NOT_ALLOWED'],
    ['another method on a page', 'DELETE', '/v1/reference', {}, 405, 'METHOD_NOT_ALLOWED'],
    ['no credentials', 'GET', '/v1/vms', { as: null }, 401, 'UNAUTHENTICATED'],
    ['other credentials', 'GET', '/v1/vms', { as: null, headers: { authorization: 'Basic YTpi' } }, 401, 'UNAUTHENTICATED'],
    ['a wrong token', 'GET', '/v1/vms', { as: null, headers: { authorization: 'Bearer wrong' } }, 401, 'UNAUTHENTICATED'],
    ['no JSON', 'POST', '/v1/clusters', { body: '{"name":', headers: json }, 400, 'BAD_JSON'],
    ['an array', 'POST', '/v1/clusters', { body: '[1]', headers: json }, 400, 'INVALID_ARGUMENT'],
    ['a text', 'POST', '/v1/clusters', { body: '"x"', headers: json }, 400, 'INVALID_ARGUMENT'],
    ['deep JSON', 'POST', '/v1/clusters', { body: `${'{"a":'.repeat(9_000)}1${'}'.repeat(9_000)}`, headers: json }, 400, 'BAD_JSON'],
    ['an unknown member', 'POST', '/v1/clusters', { body: '{"name":"x","isAdmin":true}', headers: json }, 400, 'INVALID_ARGUMENT'],
    ['a prototype', 'POST', '/v1/clusters', { body: '{"name":"x","__proto__":{"cpuOvercommit":1}}', headers: json }, 400, 'INVALID_ARGUMENT'],
    ['a wrong type', 'POST', '/v1/clusters', { body: '{"name":7}', headers: json }, 400, 'INVALID_ARGUMENT'],
    ['a missing member', 'POST', '/v1/clusters', { body: '{}', headers: json }, 400, 'INVALID_ARGUMENT'],
    ['a form', 'POST', '/v1/clusters', { body: 'name=x', headers: { 'content-type': 'application/x-www-form-urlencoded' } }, 415, 'UNSUPPORTED_MEDIA_TYPE'],
    ['text', 'POST', '/v1/clusters', { body: 'name' }, 415, 'UNSUPPORTED_MEDIA_TYPE'],
    ['too much', 'POST', '/v1/clusters', { body: large, headers: json }, 413, 'PAYLOAD_TOO_LARGE'],
    ['a member in path and body', 'PATCH', `/v1/vms/${vmId}`, { body: JSON.stringify({ vmId, name: 'x' }), headers: json }, 400, 'INVALID_ARGUMENT'],
    ['a member in query and body', 'PATCH', `/v1/vms/${vmId}?name=a`, { body: '{"name":"x"}', headers: json }, 400, 'INVALID_ARGUMENT'],
    ['a member twice in the query', 'GET', '/v1/vms?limit=1&limit=2', {}, 400, 'INVALID_ARGUMENT'],
    ['an unknown query member', 'GET', '/v1/vms?color=red', {}, 400, 'INVALID_ARGUMENT'],
    ['a limit that is no number', 'GET', '/v1/vms?limit=many', {}, 400, 'INVALID_ARGUMENT'],
    ['broken percent-encoding in the query', 'GET', '/v1/vms?name=%E0%A4%A', {}, 400, 'INVALID_ARGUMENT'],
    ['broken percent-encoding in the path', 'GET', '/v1/vms/%E0%A4%A', {}, 400, 'INVALID_ARGUMENT'],
    ['a path trick for an id', 'GET', '/v1/vms/..%2f..%2fetc%2fpasswd', {}, 400, 'INVALID_ARGUMENT'],
    ['a zero byte for an id', 'GET', '/v1/vms/%00', {}, 400, 'INVALID_ARGUMENT'],
    ['an endless id', 'GET', `/v1/vms/${'a'.repeat(300)}`, {}, 400, 'INVALID_ARGUMENT'],
  ];
  it.each(cases)('of %s (%s %s) is a problem with its code', async (_what, method, path, init, status, code) => {
    const answer = await gateway.fetch(path, { method, ...init });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([status, 'application/problem+json; charset=utf-8']);
    const problem = (await answer.json()) as Record<string, unknown>;
    expect(problem).toMatchObject({ status, code, traceId: expect.stringMatching(/^[0-9a-f]{32}$/), type: expect.stringContaining('urn:tokamak:error:'), title: expect.any(String), detail: expect.any(String), instance: path.split('?')[0] });
    expect(JSON.stringify(problem)).not.toMatch(/node_modules|\.ts:|SELECT/);
    expect(gateway.asked.filter(({ operation }) => operation !== 'auth.session.resolve')).toEqual([]);
    if (status === 405) expect(answer.headers.get('allow')).toMatch(/GET/);
    if (status === 401) expect(answer.headers.get('www-authenticate')).toContain('Bearer');
  });

  it('of the owner comes through with its details and says when to try again', async () => {
    gateway.play('compute.cluster.get', () => ({ ok: false, fault: { code: 'NOT_FOUND', detail: 'There is none.', details: { noun: 'cluster', id: clusterId } } }));
    expect(await (await gateway.fetch(`/v1/clusters/${clusterId}`)).json()).toMatchObject({ status: 404, code: 'NOT_FOUND', details: { noun: 'cluster', id: clusterId } });
    gateway.play('auth.session.login', () => ({ ok: false, fault: { code: 'LOCKED_OUT', detail: 'Wait.', details: { retryAfterMs: 4_200 } } }));
    const locked = await gateway.fetch('/v1/sessions', { as: null, method: 'POST', body: '{"user":"a","password":"b"}', headers: json });
    expect([locked.status, locked.headers.get('retry-after')]).toEqual([429, '5']);
    expect((await gateway.fetch('/v1/switches')).status).toBe(503);
  });

  it('of headers that are too large, of no HTTP and of headers that never end is a problem too', async () => {
    const host = 'Host: x\r\n';
    expect(await raw(`GET /v1/vms HTTP/1.1\r\n${host}X-Large: ${'x'.repeat(40_000)}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 431[^]*"code":"HEADERS_TOO_LARGE"/);
    expect(await raw('\x16\x03\x01 hello\r\n\r\n')).toMatch(/^HTTP\/1\.1 400[^]*application\/problem\+json/);
    expect(await raw(`GET /v1/vms HTTP/1.1\r\n${host}`)).toMatch(/^HTTP\/1\.1 408[^]*"code":"REQUEST_TOO_SLOW"/);
  });

  it('hears a refusal also when it writes all of its body first, and can ask again on the same connection', async () => {
    const { hostname, port } = new URL(gateway.url);
    const socket = connectTcp(Number(port), hostname);
    const ends = new Promise<string>((resolve) => {
      socket.on('error', (error) => { resolve(`broken: ${error.message}`); }).on('close', () => { resolve('closed'); });
    });
    let answer = '';
    socket.on('data', (chunk: Buffer) => { answer += chunk.toString(); });
    const body = 'x'.repeat(3_000_000);
    socket.write(`POST /v1/clusters HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ann\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`);
    await until('it is refused', () => answer.includes('PAYLOAD_TOO_LARGE'));
    socket.write(body);
    socket.write('GET /v1/nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    expect(await ends).toBe('closed');
    expect([...answer.matchAll(/"code":"(\w+)"/g)].map(([, code]) => code)).toEqual(['PAYLOAD_TOO_LARGE', 'UNKNOWN_OPERATION']);
  });

  it('ends a body that trickles', async () => {
    const answer = await raw(`POST /v1/clusters HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ann\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"name"`);
    expect(answer).toMatch(/^HTTP\/1\.1 408[^]*"code":"REQUEST_TOO_SLOW"/);
  });
});

describe('a long call', () => {
  it('is given up when its client goes away', async () => {
    const waiting = Promise.withResolvers<undefined>();
    gateway.play('monitoring.task.get', async () => {
      await waiting.promise;
      return ok({});
    });
    const { hostname, port } = new URL(gateway.url);
    const request = httpRequest({ hostname, port, path: `/v1/tasks/${newUuid()}?waitMs=20000`, headers: { authorization: 'Bearer ann' } });
    request.on('error', () => undefined);
    request.end();
    await until('it asks', () => gateway.questions('monitoring.task.get').length === 1);
    request.destroy();
    waiting.resolve(undefined);
    expect((await gateway.fetch('/livez', { as: null })).status).toBe(200);
  });

  it('whose answerer dies with it is answered by another one, not when its time has run out', async () => {
    const door = await GatewayUnderTest.start({ limits: { pieces: { waitMs: 200, graceMs: 200 } } });
    const asked = () => door.questions('monitoring.task.get').map(({ input }) => input['waitMs']);
    door.play('monitoring.task.get', () => (asked().length === 1 ? new Promise(() => undefined) : ok({ state: 'succeeded', version: 2 })));
    const answer = await door.fetch(`/v1/tasks/${newUuid()}?waitMs=20000`);
    expect([answer.status, await answer.json(), asked()]).toEqual([200, { state: 'succeeded', version: 2 }, [200, 200]]);
    await door.end();
  });
});

describe('the pages', () => {
  it('show the reference without inline scripts, and the OpenAPI text of the contracts', async () => {
    const reference = await gateway.fetch('/v1/reference', { as: null });
    expect([reference.status, reference.headers.get('content-security-policy')]).toEqual([200, expect.stringContaining("script-src 'self'")]);
    expect(await reference.text()).not.toMatch(/<script>|<style|style=|onclick=/);
    for (const path of ['/v1/reference/swagger-ui.css', '/v1/reference/swagger-ui-bundle.js', '/v1/reference/start.js', '/landing.css', '/']) expect([path, (await gateway.fetch(path, { as: null })).status]).toEqual([path, 200]);
    for (const path of ['/v1/reference/package.json', '/v1/reference/..%2fpackage.json']) expect([path, (await gateway.fetch(path, { as: null })).status]).toEqual([path, 404]);
    expect(await (await gateway.fetch('/v1/openapi.json', { as: null })).text()).toBe(`${JSON.stringify(openApi(undefined, version), null, 2)}\n`);
    expect(await (await gateway.fetch('/v1/asyncapi.json', { as: null })).json()).toEqual(asyncApi());
  });

  it('tell health on the public port and numbers on the other one', async () => {
    expect(await (await gateway.fetch('/readyz', { as: null })).json()).toEqual({ status: 'ready' });
    const numbers = await (await fetch(`http://127.0.0.1:${gateway.healthPort}/metrics`)).text();
    expect(numbers).toContain('tokamak_rest_requests_total{operation="compute.cluster.get",status="200"');
    expect(numbers).toContain('tokamak_rest_denials_total{operation="compute.cluster.create",code="PERMISSION_DENIED"');
    expect((await gateway.fetch('/metrics', { as: null })).status).toBe(404);
    expect((await gateway.fetch('/v1/vms', { headers: { origin: 'https://evil.example' } })).headers.get('access-control-allow-origin')).toBeNull();
  });
});

describe('the limits', () => {
  it('slow one user down and say for how long', async () => {
    const small = await GatewayUnderTest.start({ env: { TOK_HTTP_REQUESTS_PER_SECOND: '2', TOK_HTTP_SIGN_INS_PER_SECOND: '1' } });
    try {
      small.play('compute.cluster.list', () => ok({ items: [], next: null }));
      const answers = await Promise.all(Array.from({ length: 30 }, () => small.fetch('/v1/clusters')));
      const slowed = answers.filter(({ status }) => status === 429);
      expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(1);
      expect(slowed.length).toBeGreaterThanOrEqual(10);
      expect(Number(slowed[0]?.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    } finally {
      await small.end();
    }
  });
});

describe('a closing door', () => {
  it('finishes what is inside, ends what waits and refuses what comes new', async () => {
    const closing = await GatewayUnderTest.start();
    const inside = Promise.withResolvers<undefined>();
    closing.play('compute.cluster.get', async () => {
      await inside.promise;
      return ok({ id: clusterId, version: 1 });
    });
    closing.play('monitoring.task.get', () => new Promise(() => undefined));
    const short = closing.fetch(`/v1/clusters/${clusterId}`);
    const long = closing.fetch(`/v1/tasks/${newUuid()}?waitMs=20000`);
    await until('three have asked', () => closing.asked.length >= 3);
    const stopped = closing.stop();
    expect((await long).status).toBe(503);
    inside.resolve(undefined);
    expect((await short).status).toBe(200);
    await stopped;
    await expect(closing.fetch('/livez', { as: null })).rejects.toThrow();
    await closing.end();
  });
});
