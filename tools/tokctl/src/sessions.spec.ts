// Profiles, tokens and their renewal: kept safely, renewed once, never sent elsewhere.
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { withLock } from './lock.store.ts';
import { Desk, FakePlatform, sessionBody } from './platform.fixture.ts';
import { platformUrl } from './profile.store.ts';

let platform: FakePlatform;
let desk: Desk;
/** Number of the newest pair of tokens, and the refresh tokens that were used up. */
let newest = 1;
let used: Map<string, string>;
let mustChange = false;

beforeEach(async () => {
  platform = await new FakePlatform().open();
  desk = new Desk();
  newest = 1;
  used = new Map();
  mustChange = false;
  platform.answer = ({ method, path, body, headers }) => {
    if (method === 'POST' && path === '/v1/sessions') return { body: sessionBody(newest, mustChange) };
    if (path.endsWith('/set-password')) {
      mustChange = false;
      return {};
    }
    if (path === '/v1/sessions/logout') return {};
    if (path === '/v1/sessions/refresh') {
      const { refreshToken } = body as { refreshToken: string };
      const key = String(headers['idempotency-key']);
      if (used.has(refreshToken) && used.get(refreshToken) !== key) return { status: 401, body: { code: 'UNAUTHENTICATED', detail: 'used twice' } };
      if (!used.has(refreshToken)) newest += 1;
      used.set(refreshToken, key);
      return { body: sessionBody(newest) };
    }
    return headers.authorization === `Bearer access-${newest}` ? { body: { items: [], next: null } } : { status: 401, body: { code: 'TOKEN_EXPIRED', detail: 'ended' } };
  };
});
afterEach(async () => {
  await platform.close();
  desk.close();
});

const signIn = () => desk.tokctl(['login', platform.url, '--user', 'admin', '--password-stdin'], { lines: ['a-password-1'] });

describe('login', () => {
  it('keeps the session where only its owner can read it', async () => {
    expect(await signIn()).toMatchObject({ status: 0, said: expect.stringContaining('as admin (profile default)') });
    expect(statSync(join(desk.store.dir, 'token-default.json')).mode & 0o777).toBe(0o600);
    expect(statSync(join(desk.store.dir, 'config.json')).mode & 0o777).toBe(0o600);
    expect(statSync(desk.store.dir).mode & 0o777).toBe(0o700);
    expect((await desk.tokctl(['vm', 'list'])).status).toBe(0);
  });
  it('sets a new password where one is asked for', async () => {
    mustChange = true;
    const { status } = await desk.tokctl(['login', platform.url, '--user', 'admin'], { answers: ['first-password', 'second-password', 'second-password'] });
    expect(status).toBe(0);
    const [, set, again] = platform.seen;
    expect(set?.body).toEqual({ currentPassword: 'first-password', newPassword: 'second-password' });
    expect(again?.body).toEqual({ user: 'admin', password: 'second-password' });
  });
  it('without a new password keeps nothing', async () => {
    mustChange = true;
    expect((await signIn()).status).toBe(1);
    expect(desk.store.tokens('default')).toBeUndefined();
  });
  it('with a wrong password ends with 3', async () => {
    platform.answer = () => ({ status: 401, body: { code: 'BAD_CREDENTIALS', detail: 'wrong' } });
    expect((await signIn()).status).toBe(3);
  });
  it.each(['ftp://x', 'host:8080', 'http://user:pw@host', ''])('refuses the address "%s"', (address) => {
    expect(() => platformUrl(address)).toThrow('is not an address');
  });
});

describe('renewal', () => {
  it('happens before the access token ends, and is kept', async () => {
    await signIn();
    desk.nowMs += 599_000;
    expect((await desk.tokctl(['vm', 'list'])).status).toBe(0);
    expect(desk.store.tokens('default')?.refreshToken).toBe('refresh-2');
    expect(platform.of('GET', '/v1/vms')).toHaveLength(1);
  });
  it('happens when the platform refuses a token that should be good', async () => {
    await signIn();
    newest = 5;
    expect((await desk.tokctl(['vm', 'list'])).status).toBe(0);
    expect(platform.of('GET', '/v1/vms')).toHaveLength(2);
  });
  it('is done once by commands that run side by side', async () => {
    await signIn();
    desk.nowMs += 700_000;
    const outcomes = await Promise.all(Array.from({ length: 8 }, () => desk.tokctl(['vm', 'list'])));
    expect(outcomes.map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 0));
    expect(platform.of('POST', '/v1/sessions/refresh')).toHaveLength(1);
  });
  it('whose answer never reached the disk is asked for again with the same key', async () => {
    await signIn();
    desk.nowMs += 700_000;
    const before = desk.store.tokens('default')!;
    await desk.tokctl(['vm', 'list']);
    // As if the process had died between the answer and the write.
    desk.store.saveTokens('default', before);
    expect((await desk.tokctl(['vm', 'list'])).status).toBe(0);
    expect(desk.store.tokens('default')?.accessToken).toBe('access-2');
  });
  it('of a session that has ended says so', async () => {
    await signIn();
    used.set('refresh-1', 'another key');
    desk.nowMs += 700_000;
    expect(await desk.tokctl(['vm', 'list'])).toMatchObject({ status: 3, said: expect.stringContaining('tokctl login') });
  });
});

describe('the platform that is spoken to', () => {
  it('never gets the tokens of another', async () => {
    await signIn();
    const other = await new FakePlatform().open();
    expect((await desk.tokctl(['vm', 'list', '--url', other.url])).status).toBe(3);
    expect((await desk.tokctl(['vm', 'list', '--url', other.url, '--profile', 'default'])).status).toBe(3);
    expect(other.seen).toEqual([]);
    await other.close();
  });
  it('is the one of the environment, for scripts', async () => {
    desk.env = { TOK_URL: `${platform.url}/`, TOK_TOKEN: 'access-1' };
    expect((await desk.tokctl(['vm', 'list'])).status).toBe(0);
  });
  it('has to be known', async () => {
    expect(await desk.tokctl(['vm', 'list'])).toMatchObject({ status: 3, said: expect.stringContaining('tokctl login') });
    expect((await desk.tokctl(['vm', 'list', '--profile', 'none'])).status).toBe(2);
  });
});

describe('profiles', () => {
  it('are listed, chosen, shown and deleted', async () => {
    await signIn();
    await desk.tokctl(['login', platform.url, '--user', 'admin', '--password-stdin', '--profile', 'second'], { lines: ['a-password-1'] });
    expect((await desk.tokctl(['profile', 'list', '-o', 'json'])).out).toContain('"second"');
    await desk.tokctl(['profile', 'use', 'default']);
    expect(JSON.parse((await desk.tokctl(['profile', 'show', '-o', 'json'])).out)).toMatchObject({ name: 'default', url: platform.url });
    await desk.tokctl(['profile', 'delete', 'second']);
    expect((await desk.tokctl(['profile', 'use', 'second'])).status).toBe(4);
    expect((await desk.tokctl(['profile', 'use', '../x'])).status).toBe(4);
  });
  it('that are damaged are named', async () => {
    await signIn();
    writeFileSync(join(desk.store.dir, 'config.json'), '{');
    expect(await desk.tokctl(['vm', 'list'])).toMatchObject({ status: 1, said: expect.stringContaining('config.json is damaged') });
  });
  it('forget their tokens at logout, even when nobody answers', async () => {
    await signIn();
    platform.answer = () => 'drop';
    expect((await desk.tokctl(['logout'])).status).toBe(0);
    expect(desk.store.tokens('default')).toBeUndefined();
  });
});

describe('the lock', () => {
  it('lets one in at a time', async () => {
    const file = join(desk.dir, 'lock');
    let inside = 0;
    let most = 0;
    await Promise.all(Array.from({ length: 10 }, () => withLock(file, async () => {
      most = Math.max(most, (inside += 1));
      await new Promise((resolve) => setImmediate(resolve));
      inside -= 1;
    })));
    expect(most).toBe(1);
  });
  it('of a process that is gone is taken over', async () => {
    const file = join(desk.dir, 'lock');
    // No process has this number: it is above the kernel's largest.
    writeFileSync(file, '4194999 gone\n');
    expect(await withLock(file, () => Promise.resolve('in'), 2_000)).toBe('in');
  });
  it('of a process that lives is waited for, with a bound', async () => {
    const file = join(desk.dir, 'lock');
    writeFileSync(file, `${process.pid} alive\n`);
    await expect(withLock(file, () => Promise.resolve('in'), 60)).rejects.toThrow('Another command holds');
  });
});
