import { createHmac, createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { stat, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { importJWK, SignJWT } from 'jose';
import { createApiToken, createUser, login, logout, refreshSession, resolveBearer, resolveHolder, revokeApiToken, signingKeys, whoAmI } from '#contracts';
import { newUuid, orThrow, sleep } from '#kernel';
import { KeyRing } from '../keys/key-ring.store.ts';
import { AuthUnderTest } from '../auth.fixture.ts';

let auth: AuthUnderTest;
beforeAll(async () => { auth = await AuthUnderTest.started(); }, 60_000);
afterAll(() => auth.end());

const codeOf = (answer: { ok: boolean; fault?: { code: string } }): string => (answer.ok ? 'OK' : answer.fault?.code ?? '');
const resolve = (bearer: string) => auth.bus.request(resolveBearer, { bearer }, { as: 'system' });
const adminSession = async () => auth.session(await auth.admin());

describe('signing in', () => {
  it('lets the first administrator in with the password from a file that only its owner reads', async () => {
    const { mode } = await stat(auth.env['TOK_ADMIN_PASSWORD_FILE'] ?? '');
    expect(mode & 0o777).toBe(0o600);
    const session = await adminSession();
    expect(session.user).toMatchObject({ handle: 'admin', mustChangePassword: false });
    const resolved = orThrow(await resolve(session.accessToken));
    expect(resolved.actor.rights).toHaveLength(1);
    expect(resolved.validForMs).toBeGreaterThan(0);
    const { actorToken } = resolved;
    expect(orThrow(await auth.bus.request(whoAmI, {}, { actorToken }))).toEqual(resolved.actor);
  });

  it.each([
    ['another password', { user: 'admin', password: 'not the password' }],
    ['an unknown user', { user: 'nobody-here', password: 'not the password' }],
    ['a name with SQL in it', { user: "admin' OR '1'='1", password: 'x' }],
    ['an empty hash for a password', { user: 'admin', password: '0'.repeat(64) }],
  ])('refuses %s with one and the same answer', async (_what, input) => {
    const answer = await auth.bus.request(login, input);
    expect(answer).toMatchObject({ ok: false, fault: { code: 'BAD_CREDENTIALS', detail: 'User or password is wrong.' } });
  });

  it('answers a thousand tries from one address with a lock that ends, and checks only a few of them', async () => {
    const outcomes = new Map<string, number>();
    const tries = Array.from({ length: 1_000 }, (_, index) => auth.bus.request(login, { user: 'victim', password: `guess ${index}`, address: '192.0.2.66' }, { timeoutMs: 60_000 }));
    let longestMs = 0;
    for (const answer of await Promise.all(tries)) {
      outcomes.set(codeOf(answer), (outcomes.get(codeOf(answer)) ?? 0) + 1);
      if (!answer.ok && answer.fault.code === 'LOCKED_OUT') longestMs = Math.max(longestMs, Number(answer.fault.details?.['retryAfterMs']));
    }
    expect([...outcomes.keys()].sort()).toEqual(['BAD_CREDENTIALS', 'LOCKED_OUT']);
    expect(outcomes.get('BAD_CREDENTIALS')).toBeLessThanOrEqual(20);
    expect(longestMs).toBeGreaterThan(0);
    expect(longestMs).toBeLessThanOrEqual(300_000);
    await auth.sql.query('UPDATE sign_in_failure SET locked_until = UTC_TIMESTAMP(3) - INTERVAL 1 SECOND');
    expect(codeOf(await auth.bus.request(login, { user: 'victim', password: 'guess again' }))).toBe('BAD_CREDENTIALS');
  }, 60_000);

  /** Guesses on until the lock, which doubles with every failure, lasts long enough for another request to meet it. */
  async function lockedForAWhile(address: string): Promise<void> {
    for (let guess = 0; guess < 20; guess++) {
      const answer = await auth.bus.request(login, { user: `another-${guess}`, password: 'a guess', address }, { timeoutMs: 60_000 });
      const leftMs = !answer.ok && answer.fault.code === 'LOCKED_OUT' ? Number(answer.fault.details?.['retryAfterMs']) : 0;
      if (leftMs > 3_000) return;
      await sleep(leftMs);
    }
    throw new Error('the address is never locked for long');
  }

  it('locks one address out of all accounts, and no account out of a good sign-in elsewhere', async () => {
    const tries = Array.from({ length: 60 }, (_, index) => auth.bus.request(login, { user: `someone-${index}`, password: 'a guess', address: '192.0.2.77' }, { timeoutMs: 60_000 }));
    expect((await Promise.all(tries)).map(codeOf)).toContain('LOCKED_OUT');
    const { user, password } = await auth.admin();
    await lockedForAWhile('192.0.2.77');
    expect(codeOf(await auth.bus.request(login, { user, password, address: '192.0.2.77' }))).toBe('LOCKED_OUT');
    expect(codeOf(await auth.bus.request(login, { user, password, address: '192.0.2.78' }))).toBe('OK');
  }, 60_000);

  it('keeps no password, no token and no secret in the database', async () => {
    const admin = await auth.admin();
    const as = await auth.as(admin);
    const session = await adminSession();
    const token = orThrow(await auth.bus.request(createApiToken, { name: 'planted' }, as()));
    const planted = 'planted secret of a user';
    orThrow(await auth.bus.request(createUser, { handle: 'planted', password: planted }, as()));
    const secrets = [admin.password, planted, session.refreshToken, session.accessToken, token.secret, token.secret.slice(-43)];
    const tables = await auth.rows<{ name: string }>('SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()');
    for (const { name } of tables) {
      const text = JSON.stringify(await auth.rows(`SELECT * FROM \`${name}\``));
      for (const secret of secrets) expect(text.includes(secret)).toBe(false);
      expect(text.includes('PRIVATE')).toBe(false);
    }
    const [row] = await auth.rows<{ password_hash: string }>("SELECT password_hash FROM user_account WHERE handle = 'planted'");
    expect(row?.password_hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
  });
});

describe('refresh tokens', () => {
  it('change at each use, and a used one ends the session for everybody', async () => {
    const first = await adminSession();
    const second = orThrow(await auth.bus.request(refreshSession, { refreshToken: first.refreshToken }));
    expect(second.refreshToken).not.toBe(first.refreshToken);
    expect(codeOf(await resolve(second.accessToken))).toBe('OK');
    expect(codeOf(await auth.bus.request(refreshSession, { refreshToken: first.refreshToken }))).toBe('UNAUTHENTICATED');
    expect(codeOf(await auth.bus.request(refreshSession, { refreshToken: second.refreshToken }))).toBe('UNAUTHENTICATED');
    expect(codeOf(await resolve(second.accessToken))).toBe('UNAUTHENTICATED');
    expect(codeOf(await resolve(first.accessToken))).toBe('UNAUTHENTICATED');
  });

  it('give the same pair again to the same request, until it has been used', async () => {
    const first = await adminSession();
    const idempotencyKey = newUuid();
    const once = orThrow(await auth.bus.request(refreshSession, { refreshToken: first.refreshToken }, { idempotencyKey }));
    const again = orThrow(await auth.bus.request(refreshSession, { refreshToken: first.refreshToken }, { idempotencyKey }));
    expect(again.refreshToken).toBe(once.refreshToken);
    orThrow(await auth.bus.request(refreshSession, { refreshToken: once.refreshToken }));
    expect(codeOf(await auth.bus.request(refreshSession, { refreshToken: first.refreshToken }, { idempotencyKey }))).toBe('UNAUTHENTICATED');
    expect(codeOf(await resolve(again.accessToken))).toBe('UNAUTHENTICATED');
  });

  it('used at once by many give one successor at most', async () => {
    const { refreshToken } = await adminSession();
    const answers = await Promise.all(Array.from({ length: 8 }, () => auth.bus.request(refreshSession, { refreshToken })));
    expect(answers.filter(({ ok }) => ok)).toHaveLength(1);
  });

  it('end with a logout, and the access token ends with them', async () => {
    const session = await adminSession();
    expect(codeOf(await resolve(session.accessToken))).toBe('OK');
    orThrow(await auth.bus.request(logout, { refreshToken: session.refreshToken }));
    orThrow(await auth.bus.request(logout, { refreshToken: session.refreshToken }));
    expect(codeOf(await resolve(session.accessToken))).toBe('UNAUTHENTICATED');
    expect(codeOf(await auth.bus.request(refreshSession, { refreshToken: session.refreshToken }))).toBe('UNAUTHENTICATED');
  });
});

describe('access tokens', () => {
  const parts = (token: string): [Record<string, unknown>, Record<string, unknown>, string] => {
    const [head = '', body = '', signature = ''] = token.split('.');
    const read = (text: string): Record<string, unknown> => JSON.parse(Buffer.from(text, 'base64url').toString()) as Record<string, unknown>;
    return [read(head), read(body), signature];
  };
  const write = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

  it('are refused when forged in any of the known ways', async () => {
    const { accessToken } = await adminSession();
    const [head, body, signature] = parts(accessToken);
    const [{ x, kid } = { x: '', kid: '' }] = orThrow(await auth.bus.request(signingKeys, {}, { as: 'system' })).keys;
    const hs = `${write({ alg: 'HS256', kid, typ: 'JWT' })}.${write(body)}`;
    const other = generateKeyPairSync('ed25519').privateKey;
    const signed = (claims: Record<string, unknown>, key = other): Promise<string> =>
      new SignJWT(claims).setProtectedHeader({ alg: 'EdDSA', kid }).sign(key);
    const forged: Record<string, string> = {
      'no algorithm': `${write({ alg: 'none' })}.${write(body)}.`,
      'no algorithm, signature kept': `${write({ ...head, alg: 'none' })}.${write(body)}.${signature}`,
      'the public key as HMAC secret': `${hs}.${createHmac('sha256', Buffer.from(x, 'base64url')).update(hs).digest('base64url')}`,
      'the text of the public key as HMAC secret': `${hs}.${createHmac('sha256', x).update(hs).digest('base64url')}`,
      'RS256 in the header': `${write({ ...head, alg: 'RS256' })}.${write(body)}.${signature}`,
      'another key under our key id': await signed(body),
      'an unknown key id': `${write({ ...head, kid: 'unknown' })}.${write(body)}.${signature}`,
      'a key id that is a path': `${write({ ...head, kid: '../../master.key' })}.${write(body)}.${signature}`,
      'a key in its own header': `${write({ ...head, jwk: { kty: 'OKP', crv: 'Ed25519', x } })}.${write({ ...body, sub: newUuid() })}.${signature}`,
      'another body': `${write(head)}.${write({ ...body, exp: Number(body['exp']) + 999_999 })}.${signature}`,
      'an actor token': await auth.actorToken(accessToken),
      'half a token': accessToken.slice(0, -20),
      'nothing like a token': 'x'.repeat(3_000),
    };
    for (const [what, token] of Object.entries(forged)) expect([what, codeOf(await resolve(token))]).toEqual([what, 'UNAUTHENTICATED']);
  });

  it('are refused when they have ended, and when they are for somebody else', async () => {
    const { accessToken } = await adminSession();
    const [, body] = parts(accessToken);
    const { kid, privateKey } = auth.replicas[0]!.get(KeyRing).signer;
    const key = createPrivateKey(privateKey.export({ format: 'pem', type: 'pkcs8' }));
    const sign = (claims: Record<string, unknown>): Promise<string> => new SignJWT(claims).setProtectedHeader({ alg: 'EdDSA', kid }).sign(key);
    expect(codeOf(await resolve(await sign(body)))).toBe('OK');
    expect(codeOf(await resolve(await sign({ ...body, exp: Math.floor(Date.now() / 1000) - 1 })))).toBe('TOKEN_EXPIRED');
    expect(codeOf(await resolve(await sign({ ...body, aud: 'tokamak-actor' })))).toBe('UNAUTHENTICATED');
    expect(codeOf(await resolve(await sign({ ...body, iss: 'somebody' })))).toBe('UNAUTHENTICATED');
    expect(codeOf(await resolve(await sign({ ...body, sid: newUuid() })))).toBe('UNAUTHENTICATED');
    const { exp: _, ...endless } = body;
    expect(codeOf(await resolve(await sign(endless)))).toBe('UNAUTHENTICATED');
  });

  it('hold across a rotation of the key, also in another replica, and not after the key is withdrawn', async () => {
    const { accessToken } = await adminSession();
    const second = await auth.start();
    const [first] = auth.replicas;
    await first!.get(KeyRing).renew(true);
    // Either replica may answer a sign-in, and the second one signs with the old key still: what the first one signs is signed here.
    const { kid, privateKey } = first!.get(KeyRing).signer;
    const [, body] = parts(accessToken);
    const fresh = await new SignJWT(body).setProtectedHeader({ alg: 'EdDSA', kid }).sign(createPrivateKey(privateKey.export({ format: 'pem', type: 'pkcs8' })));
    expect(codeOf(await resolve(accessToken))).toBe('OK');
    const { keys } = orThrow(await auth.bus.request(signingKeys, {}, { as: 'system' }));
    expect(keys.length).toBeGreaterThanOrEqual(1);
    for (const { x } of keys) expect(await importJWK({ kty: 'OKP', crv: 'Ed25519', x }, 'EdDSA')).toBeDefined();
    await second.get(KeyRing).renew();
    const [old] = second.get(KeyRing).list().slice(-1);
    expect(codeOf(await resolve(fresh))).toBe('OK');
    await auth.sql.query('DELETE FROM signing_key WHERE kid = ?', [old?.kid]);
    for (const replica of auth.replicas) await replica.get(KeyRing).renew();
    expect(codeOf(await resolve(accessToken))).toBe('UNAUTHENTICATED');
    expect(codeOf(await resolve(fresh))).toBe('OK');
  }, 30_000);
});

describe('API tokens', () => {
  it('stand for their user, once made for one key, until they are revoked or end', async () => {
    const as = await auth.as(await auth.admin());
    const options = as();
    const made = orThrow(await auth.bus.request(createApiToken, { name: 'ci' }, options));
    const again = orThrow(await auth.bus.request(createApiToken, { name: 'ci' }, options));
    expect(again).toEqual(made);
    expect(made.secret).toMatch(/^tok_[0-9a-f-]{36}_[\w-]{43}$/);
    expect(orThrow(await resolve(made.secret)).actor.handle).toBe('admin');
    expect(codeOf(await resolve(`${made.secret.slice(0, -1)}${made.secret.endsWith('A') ? 'B' : 'A'}`))).toBe('UNAUTHENTICATED');
    await auth.sql.query('UPDATE api_token SET expires_at = UTC_TIMESTAMP(3) - INTERVAL 1 SECOND WHERE id = ?', [made.token.id]);
    expect(codeOf(await resolve(made.secret))).toBe('TOKEN_EXPIRED');
    const other = orThrow(await auth.bus.request(createApiToken, { name: 'other', expiresInDays: null }, as()));
    orThrow(await auth.bus.request(revokeApiToken, { tokenId: other.token.id }, as()));
    expect(codeOf(await resolve(other.secret))).toBe('UNAUTHENTICATED');
  });
});

describe('what a session or token has opened', () => {
  const holderOf = async (bearer: string) => orThrow(await resolve(bearer)).holder;
  const ask = async (holder: Awaited<ReturnType<typeof holderOf>>) => codeOf(await auth.bus.request(resolveHolder, { holder }, { as: 'system' }));

  it('may stay open through refreshes, and not beyond the logout, whatever other sessions there are', async () => {
    const [session, other] = [await adminSession(), await adminSession()];
    const holder = await holderOf(session.accessToken);
    const fresh = orThrow(await auth.bus.request(refreshSession, { refreshToken: session.refreshToken }));
    expect(await holderOf(fresh.accessToken)).toEqual(holder);
    expect(await ask(holder)).toBe('OK');
    orThrow(await auth.bus.request(logout, { refreshToken: fresh.refreshToken }));
    expect([await ask(holder), await ask(await holderOf(other.accessToken))]).toEqual(['UNAUTHENTICATED', 'OK']);
  });

  it('ends with an API token that is revoked or runs out, and with a user who is disabled', async () => {
    const as = await auth.as(await auth.admin());
    const made = orThrow(await auth.bus.request(createApiToken, { name: 'opens' }, as()));
    const holder = await holderOf(made.secret);
    expect([holder, await ask(holder)]).toEqual([{ kind: 'token', id: made.token.id }, 'OK']);
    await auth.sql.query('UPDATE api_token SET expires_at = UTC_TIMESTAMP(3) - INTERVAL 1 SECOND WHERE id = ?', [made.token.id]);
    expect(await ask(holder)).toBe('UNAUTHENTICATED');
    const user = orThrow(await auth.bus.request(createUser, { handle: 'watcher', password: 'a long password', mustChangePassword: false }, as()));
    const session = orThrow(await auth.bus.request(login, { user: 'watcher', password: 'a long password' }));
    const mine = await holderOf(session.accessToken);
    expect(await ask(mine)).toBe('OK');
    expect(await ask({ kind: 'user', id: user.id })).toBe('OK');
    await auth.sql.query('UPDATE user_account SET disabled = 1 WHERE id = ?', [user.id]);
    expect([await ask(mine), await ask({ kind: 'user', id: user.id }), await ask({ kind: 'user', id: newUuid() })]).toEqual(Array(3).fill('UNAUTHENTICATED'));
  });
});

describe('the first start', () => {
  it('goes on with the password of a start that died after the file and before the user', async () => {
    const fresh = await AuthUnderTest.prepare();
    try {
      await writeFile(fresh.env['TOK_ADMIN_PASSWORD_FILE'] ?? '', JSON.stringify({ user: 'admin', password: 'left by a start that died' }), { mode: 0o644 });
      await Promise.all([fresh.start(), fresh.start()]);
      expect((await stat(fresh.env['TOK_ADMIN_PASSWORD_FILE'] ?? '')).mode & 0o777).toBe(0o600);
      expect(await fresh.rows('SELECT handle FROM user_account')).toEqual([{ handle: 'admin' }]);
      expect(await fresh.rows('SELECT kid FROM signing_key')).toHaveLength(1);
    } finally {
      await fresh.end();
    }
  }, 60_000);
});
