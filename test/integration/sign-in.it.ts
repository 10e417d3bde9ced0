import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startService } from '#service';
import type { RunningService } from '#service';
import { makeTestSchema } from '#testing';
import type { TestSchema } from '#testing';
import { AuthUnderTest } from '../../services/auth/src/auth.fixture.ts';
import { gateway as gatewayService } from '../../services/gateway/gateway.service.ts';
import { restDoor } from '../../services/gateway/src/rest/open.door.ts';
import type { RestDoorHandle } from '../../services/gateway/src/rest/open.door.ts';

let auth: AuthUnderTest;
let gateway: RunningService;
let schema: TestSchema;
let door: RestDoorHandle;
beforeAll(async () => {
  auth = await AuthUnderTest.started();
  schema = await makeTestSchema('gateway');
  const env = { TOK_NATS_URL: auth.env['TOK_NATS_URL'] ?? '', TOK_MYSQL_URL: schema.url, TOK_LOG_LEVEL: 'fatal', TOK_HTTP_PORT: '0', TOK_STAGING_DIR: '/nonexistent' };
  gateway = await startService({ ...gatewayService, doors: (parts) => [door = restDoor(parts)] }, { env, ownsProcess: false });
}, 60_000);
afterAll(async () => {
  await gateway.stop();
  await schema.drop();
  await auth.end();
});

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown>;
}
async function ask(method: string, path: string, body?: object, bearer?: unknown): Promise<Answer> {
  const answer = await fetch(`${door.url()}${path}`, {
    method,
    headers: { ...(body ? { 'content-type': 'application/json' } : {}), ...(typeof bearer === 'string' ? { authorization: `Bearer ${bearer}` } : {}) },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  return { status: answer.status, headers: answer.headers, body: (await answer.json()) as Record<string, unknown> };
}
const signIn = (user: string, password: string): Promise<Answer> => ask('POST', '/v1/sessions', { user, password });

/** Doors hear of a change a moment after it; asks until the answer has this status. */
async function comesTo(status: number, path: string, bearer: unknown): Promise<number> {
  let seen = 0;
  for (let turn = 0; turn < 300 && seen !== status; turn++) {
    seen = (await ask('GET', path, undefined, bearer)).status;
    await new Promise((resolve) => { setTimeout(resolve, 10); });
  }
  return seen;
}

describe('through the REST door', () => {
  it('a user is made, signs in, must set a password, works within the role he is given, and is out when disabled', async () => {
    const { user, password } = await auth.admin();
    const admin = await signIn(user, password);
    expect(admin.status).toBe(200);
    const { accessToken: root } = admin.body;
    const made = await ask('POST', '/v1/users', { handle: 'ann', password: 'first password' }, root);
    expect([made.status, made.headers.get('location'), made.headers.get('etag')]).toEqual([201, `/v1/users/${String(made.body['id'])}`, '"1"']);

    const first = await signIn('ann', 'first password');
    expect(first.body).toMatchObject({ user: { handle: 'ann', mustChangePassword: true } });
    expect(await ask('GET', '/v1/tokens', undefined, first.body['accessToken'])).toMatchObject({ status: 403, body: { code: 'PASSWORD_CHANGE_REQUIRED' } });
    const set = await ask('POST', `/v1/users/${String(made.body['id'])}/set-password`, { currentPassword: 'first password', newPassword: 'second password' }, first.body['accessToken']);
    expect(set.status).toBe(200);
    expect(await comesTo(401, '/v1/sessions/current', first.body['accessToken'])).toBe(401);

    const { body: { accessToken: ann } } = await signIn('ann', 'second password');
    expect((await ask('GET', '/v1/users', undefined, ann)).status).toBe(403);
    const { body: { items } } = await ask('GET', '/v1/roles?name=administrator', undefined, root);
    const [{ id: roleId } = { id: '' }] = items as { id: string }[];
    expect((await ask('POST', '/v1/grants', { userId: made.body['id'], roleId }, root)).status).toBe(201);
    expect(await comesTo(200, '/v1/users', ann)).toBe(200);

    expect((await ask('PATCH', `/v1/users/${String(made.body['id'])}`, { disabled: true }, root)).status).toBe(200);
    expect(await comesTo(401, '/v1/users', ann)).toBe(401);
  }, 30_000);

  it('an API token works until it is revoked, and a session until its logout', async () => {
    const { user, password } = await auth.admin();
    const { body: session } = await signIn(user, password);
    const made = await ask('POST', '/v1/tokens', { name: 'script' }, session['accessToken']);
    const { secret, token } = made.body as { secret: string; token: { id: string } };
    expect((await ask('GET', '/v1/sessions/current', undefined, secret)).body).toMatchObject({ handle: 'admin' });
    expect((await ask('DELETE', `/v1/tokens/${token.id}`, undefined, session['accessToken'])).status).toBe(200);
    expect(await comesTo(401, '/v1/sessions/current', secret)).toBe(401);
    expect((await ask('POST', '/v1/sessions/logout', { refreshToken: session['refreshToken'] })).status).toBe(200);
    expect(await comesTo(401, '/v1/sessions/current', session['accessToken'])).toBe(401);
  });
});
