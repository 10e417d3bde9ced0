// Users let in to a real bus in operator mode and shut out of it: by themselves, with their account, and although the
// server was away when it happened.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createAccount, createUser } from '@nats-io/jwt';
import type { KeyPair } from '@nats-io/jwt';
import { connect, jwtAuthenticator } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import { createBusCredential, createUser as createAccountOfUser, deleteUser, listBusCredentials, resolveHandle, revokeBusCredential, setPassword, updateUser } from '#contracts';
import type { InputOf, ReplyOf, UserId } from '#contracts';
import { newUuid, orThrow } from '#kernel';
import type { Result } from '#kernel';
import { until } from '#testing';
import { AuthUnderTest } from '../auth.fixture.ts';

const password = 'correct horse battery';
let under: AuthUnderTest;
let admin: () => { actorToken: string; idempotencyKey: string };
const handles = ['ann', 'bob', 'cyd', 'dan', 'eve'] as const;
type Handle = (typeof handles)[number];
const people = new Map<Handle, { id: UserId; as: () => { actorToken: string; idempotencyKey: string } }>();
const person = (handle: Handle): NonNullable<ReturnType<typeof people.get>> => people.get(handle)!;

beforeAll(async () => {
  under = await AuthUnderTest.prepare({ operator: true });
  await under.start();
  const first = await under.admin();
  const session = await under.session(first);
  orThrow(await under.bus.request(setPassword, { userId: session.user.id, currentPassword: first.password, newPassword: password }, { actorToken: await under.actorToken(session.accessToken), idempotencyKey: newUuid() }));
  admin = await under.as({ user: first.user, password });
  for (const handle of handles) {
    const { id } = orThrow(await under.bus.request(createAccountOfUser, { handle, password, mustChangePassword: false }, admin()));
    people.set(handle, { id, as: await under.as({ user: handle, password }) });
  }
});
afterAll(() => under.end());

const letIn = (handle: Handle, key: KeyPair, more: Partial<InputOf<typeof createBusCredential>> = {}, options = person(handle).as()): Promise<Result<ReplyOf<typeof createBusCredential>>> =>
  under.bus.request(createBusCredential, { publicKey: key.getPublicKey(), ...more }, options);
const enter = ({ jwt, inboxPrefix }: { jwt: string; inboxPrefix: string }, key: KeyPair): Promise<NatsConnection> =>
  connect({ servers: under.env['TOK_NATS_URL']!, inboxPrefix, reconnect: false, authenticator: jwtAuthenticator(jwt, key.getSeed()) });
const isRefused = async (made: ReplyOf<typeof createBusCredential>, key: KeyPair): Promise<boolean> => enter(made, key).then(async (entered) => { await entered.close(); return false; }, () => true);
const codeOf = (result: Result<unknown>): string => (result.ok ? 'ok' : result.fault.code);

describe('a key on the bus', () => {
  it('lets its user in under his handle, and is listed', async () => {
    const key = createUser();
    const made = orThrow(await letIn('ann', key, { name: 'laptop', lifeMinutes: 10 }));
    expect(made).toMatchObject({ subjectPrefix: 'tok.v1.user.ann', inboxPrefix: '_INBOX.user.ann', servers: [under.env['TOK_NATS_URL']], credential: { name: 'laptop', userId: person('ann').id, revokedAt: null } });
    const ann = await enter(made, key);
    ann.publish('tok.v1.user.ann.req.compute.vm.list', '{}');
    await ann.flush();
    await ann.close();
    const { items } = orThrow(await under.bus.request(listBusCredentials, {}, person('ann').as()));
    expect(items.map(({ id }) => id)).toEqual([made.credential.id]);
    expect(orThrow(await under.bus.request(listBusCredentials, {}, person('bob').as())).items).toEqual([]);
  });

  it('is renewed under the same id, never for a shorter time, and repeated with the same answer', async () => {
    const key = createUser();
    const options = person('ann').as();
    const first = orThrow(await letIn('ann', key, { lifeMinutes: 60 }, options));
    expect(orThrow(await letIn('ann', key, { lifeMinutes: 60 }, options)).credential).toEqual(first.credential);
    const renewed = orThrow(await letIn('ann', key, { lifeMinutes: 5 }));
    expect(renewed.credential).toMatchObject({ id: first.credential.id, expiresAt: first.credential.expiresAt });
    const longer = orThrow(await letIn('ann', key, { lifeMinutes: 120 }));
    expect(Date.parse(longer.credential.expiresAt)).toBeGreaterThan(Date.parse(first.credential.expiresAt));
  });

  it.each([
    ['of another kind', createAccount().getPublicKey(), 'INVALID_ARGUMENT'],
    ['with a letter changed', createUser().getPublicKey().replace(/.$/, (last) => (last === 'B' ? 'C' : 'B')), 'INVALID_ARGUMENT'],
    ['that is private', new TextDecoder().decode(createUser().getSeed()), 'INVALID_ARGUMENT'],
  ])('%s is refused', async (_what, publicKey, code) => {
    expect(codeOf(await under.bus.request(createBusCredential, { publicKey }, person('ann').as()))).toBe(code);
  });

  it('of somebody else is refused, also when both ask at once', async () => {
    const key = createUser();
    orThrow(await letIn('ann', key));
    expect(codeOf(await letIn('bob', key))).toBe('ALREADY_EXISTS');
    const contested = createUser();
    const codes = (await Promise.all([letIn('ann', contested), letIn('bob', contested)])).map(codeOf).sort();
    expect(codes).toEqual(['ALREADY_EXISTS', 'ok']);
  });

  it('is one of twenty at most', async () => {
    for (let index = 0; index < 20; index++) orThrow(await letIn('eve', createUser()));
    expect(codeOf(await letIn('eve', createUser()))).toBe('WRONG_STATE');
  });
});

describe('who is shut out', () => {
  it('by revoking one key is off at once with this key alone, and the key stays out', async () => {
    const [lost, kept] = [createUser(), createUser()];
    const [madeLost, madeKept] = [orThrow(await letIn('bob', lost)), orThrow(await letIn('bob', kept))];
    const [first, second] = [await enter(madeLost, lost), await enter(madeKept, kept)];
    expect(codeOf(await under.bus.request(revokeBusCredential, { credentialId: madeLost.credential.id }, person('ann').as()))).toBe('NOT_FOUND');
    orThrow(await under.bus.request(revokeBusCredential, { credentialId: madeLost.credential.id }, person('bob').as()));
    await first.closed();
    await second.flush();
    await second.close();
    expect(await isRefused(madeLost, lost)).toBe(true);
    expect(await letIn('bob', lost)).toMatchObject({ ok: false, fault: { code: 'WRONG_STATE' } });
  });

  it.each([
    ['disabling', 'cyd', (userId: UserId) => under.bus.request(updateUser, { userId, disabled: true }, admin())],
    ['deleting', 'dan', (userId: UserId) => under.bus.request(deleteUser, { userId }, admin())],
    ['a new password of', 'ann', (userId: UserId) => under.bus.request(setPassword, { userId, newPassword: 'another password' }, admin())],
  ] as const)('by %s the user is off at once', async (_what, handle, act) => {
    const key = createUser();
    const made = orThrow(await letIn(handle, key));
    const connection = await enter(made, key);
    orThrow<unknown>(await act(person(handle).id));
    await connection.closed();
    expect(await isRefused(made, key)).toBe(true);
  });

  it('while the server was away is shut out when it is back', async () => {
    const key = createUser();
    const made = orThrow(await letIn('bob', key));
    await under.sql.query('UPDATE bus_credential SET revoked_at = UTC_TIMESTAMP(3) WHERE id = ?', [made.credential.id]);
    await under.crashNats();
    await until('the key is refused', () => isRefused(made, key), 30_000);
  }, 60_000);
});

it('a handle becomes its user as long as he is one', async () => {
  expect(await under.bus.request(resolveHandle, { handle: 'bob' }, { as: 'system' })).toMatchObject({ ok: true, value: { actor: { userId: person('bob').id, handle: 'bob' } } });
  expect(codeOf(await under.bus.request(resolveHandle, { handle: 'nobody' }, { as: 'system' }))).toBe('UNAUTHENTICATED');
  expect(codeOf(await under.bus.request(resolveHandle, { handle: 'cyd' }, { as: 'system' }))).toBe('UNAUTHENTICATED');
  expect(codeOf(await under.bus.request(resolveHandle, { handle: 'bob' }, person('bob').as()))).toBe('PERMISSION_DENIED');
});

it('a site without the authority says so', async () => {
  const plain = await AuthUnderTest.started();
  try {
    const first = await plain.admin();
    const session = await plain.session(first);
    const options = { actorToken: await plain.actorToken(session.accessToken), idempotencyKey: newUuid() };
    expect(codeOf(await plain.bus.request(createBusCredential, { publicKey: createUser().getPublicKey() }, options))).toBe('UNAVAILABLE');
  } finally {
    await plain.end();
  }
});
