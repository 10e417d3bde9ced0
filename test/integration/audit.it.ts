// The audit log from a door to the command line, with a real gateway and a real auth: both say their part, and the chain is
// read and checked by `tokctl`, from the platform and from a kept list.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AuditEntry } from '#contracts';
import { newUuid } from '#kernel';
import { startService } from '#service';
import type { RunningService } from '#service';
import { makeTestSchema, until } from '#testing';
import type { TestSchema } from '#testing';
import { AuthUnderTest } from '../../services/auth/src/auth.fixture.ts';
import { gateway as gatewayService } from '../../services/gateway/gateway.service.ts';
import { restDoor } from '../../services/gateway/src/rest/open.door.ts';
import type { RestDoorHandle } from '../../services/gateway/src/rest/open.door.ts';
import { Desk } from '../../tools/tokctl/src/platform.fixture.ts';

let auth: AuthUnderTest;
let gateway: RunningService;
let schema: TestSchema;
let door: RestDoorHandle;
let desk: Desk;
let admin: string;
const password = 'correct horse battery';
beforeAll(async () => {
  auth = await AuthUnderTest.started();
  schema = await makeTestSchema('gateway');
  const env = { TOK_NATS_URL: auth.env['TOK_NATS_URL'] ?? '', TOK_MYSQL_URL: schema.url, TOK_LOG_LEVEL: 'fatal', TOK_HTTP_PORT: '0' };
  gateway = await startService({ ...gatewayService, doors: (parts) => [door = restDoor(parts)] }, { env, ownsProcess: false });
  admin = (await auth.session(await auth.admin())).accessToken;
  desk = new Desk();
  desk.env = { TOK_URL: door.url(), TOK_TOKEN: admin };
}, 60_000);
afterAll(async () => {
  desk.close();
  await gateway.stop();
  await schema.drop();
  await auth.end();
});

async function ask(method: string, path: string, { bearer = admin, body, key = newUuid() }: { bearer?: string; body?: object; key?: string } = {}) {
  const sent = { authorization: `Bearer ${bearer}`, 'idempotency-key': key, ...(body === undefined ? {} : { 'content-type': 'application/json' }) };
  const answer = await fetch(`${door.url()}${path}`, { method, headers: sent, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  return { status: answer.status, trace: answer.headers.get('x-request-id') ?? '', body: (await answer.json()) as Record<string, unknown> };
}
const found = (what: string, query: string): Promise<AuditEntry[]> => until(what, async () => {
  const { body } = await ask('GET', `/v1/audit?${query}`);
  const items = body['items'] as AuditEntry[];
  return items.length > 0 ? items : undefined;
}, 30_000);

describe('the audit log', () => {
  const handle = `u-${newUuid().slice(-12)}`;
  it('has what came through REST once, under the trace that the client was told', async () => {
    const key = newUuid();
    const body = { handle, password, mustChangePassword: false };
    const first = await ask('POST', '/v1/users', { body, key });
    const again = await ask('POST', '/v1/users', { body, key });
    expect([first.status, again.status, again.body['id']]).toEqual([201, 201, first.body['id']]);
    const records = await found('the record', `objectId=${String(first.body['id'])}`);
    expect(records).toMatchObject([{ source: 'auth', operation: 'auth.user.create', door: 'rest', actor: { handle: 'admin' }, outcome: 'done', traceId: first.trace }]);
  });

  it('has denials once, by whoever denied: the door or the owner', async () => {
    const bearer = (await auth.session({ user: handle, password })).accessToken;
    const byDoor = await ask('GET', '/v1/users', { bearer });
    expect(byDoor.status).toBe(403);
    expect(await found('what the door denied', `trace=${byDoor.trace}`)).toMatchObject([{ source: 'gateway', actor: { handle }, operation: 'auth.user.list', code: 'PERMISSION_DENIED' }]);
    const wrong = await ask('POST', '/v1/sessions', { body: { user: handle, password: 'a wrong guess' } });
    expect(wrong.status).toBe(401);
    expect(await found('what auth denied', `trace=${wrong.trace}`)).toMatchObject([{ source: 'auth', claimed: handle, address: '127.0.0.1', door: 'rest', code: 'BAD_CREDENTIALS' }]);
    const nobody = await ask('GET', '/v1/audit', { bearer: 'nobody' });
    expect(nobody.status).toBe(401);
    expect(await found('a token that is none', `trace=${nobody.trace}`)).toMatchObject([{ source: 'gateway', actor: null, operation: 'auth.audit.list' }]);
  });

  it('is read and checked by the command line', async () => {
    const list = await desk.tokctl(['audit', 'list', '--actor', handle, '--outcome', 'denied']);
    expect([list.status, list.out]).toEqual([0, expect.stringMatching(/auth\.user\.list +.*denied +PERMISSION_DENIED/)]);
    const verified = await desk.tokctl(['audit', 'verify']);
    expect([verified.status, verified.said, verified.out]).toEqual([0, '', expect.stringContaining('sound')]);
    const newest = /newest +(\S+)/.exec(verified.out)?.[1] ?? '';
    expect((await desk.tokctl(['audit', 'verify', '--expect', newest])).status).toBe(0);
    const kept = await desk.tokctl(['audit', 'list', '--sort', 'seq', '-o', 'json']);
    const file = join(desk.dir, 'audit.json');
    writeFileSync(file, kept.out);
    expect(await desk.tokctl(['audit', 'verify', '--file', file])).toMatchObject({ status: 0, out: expect.stringContaining('sound') });
  });

  it('makes the command line fail, and name the row, when somebody has changed it', async () => {
    await auth.sql.query('DROP TRIGGER audit_log_no_update');
    await auth.sql.query("UPDATE audit_log SET record = REPLACE(record, '\"denied\"', '\"done\"'), outcome = 'done' WHERE actor_handle = ? AND outcome = 'denied'", [handle]);
    const [row] = await auth.rows<{ seq: number }>("SELECT seq FROM audit_log WHERE actor_handle = ? AND operation = 'auth.user.list'", [handle]);
    const { status, said } = await desk.tokctl(['audit', 'verify']);
    expect([status, said]).toEqual([1, expect.stringContaining(`Row ${row?.seq}`)]);
  });
});
