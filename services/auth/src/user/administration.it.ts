import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createGrant, createRole, createUser, deleteGrant, deleteRole, deleteUser, eventsRead, getRole, getUser, listGrants, listRoles, listUsers, login, permissions, resolveBearer, setPassword, updateRole, updateUser, whoAmI } from '#contracts';
import type { Operation, Permission, ReplyOf, RequestOf, RoleId, UserId } from '#contracts';
import { newUuid, orThrow } from '#kernel';
import type { Result } from '#kernel';
import { AuthUnderTest } from '../auth.fixture.ts';

let auth: AuthUnderTest;
let admin: { userId: UserId; as: () => { actorToken: string; idempotencyKey: string } };
let count = 0;
const password = 'a good enough password';
const codeOf = (answer: Result<unknown>): string => (answer.ok ? 'OK' : answer.fault.code);

beforeAll(async () => {
  auth = await AuthUnderTest.started();
  admin = await person(await auth.admin());
}, 60_000);
afterAll(() => auth.end());

async function person(credentials: { user: string; password: string }) {
  const as = await auth.as(credentials);
  const { userId } = orThrow(await auth.bus.request(whoAmI, {}, as()));
  return { userId, as };
}
const ask = <O extends Operation>(operation: O, input: RequestOf<O>, as = admin.as): Promise<Result<ReplyOf<O>>> => auth.bus.request(operation, input, as());
const roleNamed = async (name: string): Promise<RoleId> => orThrow(await ask(listRoles, { name })).items[0]!.id;

/** A new user with these permissions on the whole site. */
async function userWith(rights: readonly Permission[]) {
  const handle = `user-${++count}`;
  const user = orThrow(await ask(createUser, { handle, password, mustChangePassword: false }));
  if (rights.length > 0) {
    const role = orThrow(await ask(createRole, { name: `role ${count}`, permissions: [...rights] }));
    orThrow(await ask(createGrant, { userId: user.id, roleId: role.id }));
  }
  return { ...(await person({ user: handle, password })), handle };
}

describe('users', () => {
  it('are made once per key, and their handles belong to them for ever', async () => {
    const once = admin.as();
    const input = { handle: 'ann', password, displayName: 'Ann Ångström' };
    const [first, second] = await Promise.all([auth.bus.request(createUser, input, once), auth.bus.request(createUser, input, once)]);
    expect(orThrow(first)).toEqual(orThrow(second));
    expect(codeOf(await auth.bus.request(createUser, { ...input, password: 'another password' }, once))).toBe('IDEMPOTENCY_KEY_REUSED');
    expect(codeOf(await ask(createUser, input))).toBe('NAME_TAKEN');
    orThrow(await ask(deleteUser, { userId: orThrow(first).id }));
    expect(codeOf(await ask(getUser, { userId: orThrow(first).id }))).toBe('NOT_FOUND');
    expect(codeOf(await ask(createUser, input))).toBe('NAME_TAKEN');
    expect(codeOf(await auth.bus.request(login, { user: 'ann', password }))).toBe('BAD_CREDENTIALS');
  });

  it('race for a handle, and one gets it', async () => {
    await auth.start();
    const answers = await Promise.all(Array.from({ length: 6 }, () => ask(createUser, { handle: 'raced', password })));
    expect(answers.map(codeOf).sort()).toEqual(['NAME_TAKEN', 'NAME_TAKEN', 'NAME_TAKEN', 'NAME_TAKEN', 'NAME_TAKEN', 'OK']);
  }, 30_000);

  it.each([['Upper'], ['-dash'], ['a b'], ['x'.repeat(33)], ["a'; --"], ['../x'], ['']])('may not be called %j', async (handle) => {
    expect(codeOf(await ask(createUser, { handle, password }))).toBe('INVALID_ARGUMENT');
  });

  it('are shown to who may read users, and to nobody else', async () => {
    const nobody = await userWith([]);
    expect(codeOf(await ask(listUsers, {}, nobody.as))).toBe('PERMISSION_DENIED');
    expect(codeOf(await ask(getUser, { userId: admin.userId }, nobody.as))).toBe('PERMISSION_DENIED');
    const reader = await userWith(['user.read']);
    expect(orThrow(await ask(listUsers, { handle: 'admin' }, reader.as)).items).toMatchObject([{ handle: 'admin', disabled: false }]);
    expect(codeOf(await ask(createUser, { handle: 'by-reader', password }, reader.as))).toBe('PERMISSION_DENIED');
    expect(JSON.stringify(orThrow(await ask(listUsers, {}, reader.as)))).not.toContain('argon2');
  });

  it('that are disabled are out at once, with a version that is checked', async () => {
    const user = await userWith(['vm.read']);
    const { accessToken } = await auth.session({ user: user.handle, password });
    const { version } = orThrow(await ask(getUser, { userId: user.userId }));
    expect(codeOf(await ask(updateUser, { userId: user.userId, displayName: 'x', version: version + 5 }))).toBe('VERSION_CONFLICT');
    orThrow(await ask(updateUser, { userId: user.userId, disabled: true, version }));
    expect(codeOf(await auth.bus.request(resolveBearer, { bearer: accessToken }, { as: 'system' }))).toBe('UNAUTHENTICATED');
    expect(codeOf(await auth.bus.request(login, { user: user.handle, password }))).toBe('BAD_CREDENTIALS');
    orThrow(await ask(updateUser, { userId: user.userId, disabled: false }));
    expect(codeOf(await auth.bus.request(login, { user: user.handle, password }))).toBe('OK');
  });

  it('set their own password with the current one, and lose their sessions', async () => {
    const user = await userWith([]);
    const { accessToken } = await auth.session({ user: user.handle, password });
    expect(codeOf(await ask(setPassword, { userId: user.userId, currentPassword: 'wrong', newPassword: 'a new password' }, user.as))).toBe('BAD_CREDENTIALS');
    expect(codeOf(await ask(setPassword, { userId: user.userId, newPassword: 'a new password' }, user.as))).toBe('BAD_CREDENTIALS');
    const once = user.as();
    const change = { userId: user.userId, currentPassword: password, newPassword: 'a new password' };
    orThrow(await auth.bus.request(setPassword, change, once));
    orThrow(await auth.bus.request(setPassword, change, once));
    expect(codeOf(await auth.bus.request(resolveBearer, { bearer: accessToken }, { as: 'system' }))).toBe('UNAUTHENTICATED');
    expect(codeOf(await auth.bus.request(login, { user: user.handle, password: 'a new password' }))).toBe('OK');
    expect(codeOf(await ask(setPassword, { userId: admin.userId, newPassword: 'taken over!!' }, user.as))).not.toBe('OK');
  });
});

describe('rights', () => {
  it('are never given, written into a role or reset into by who lacks them', async () => {
    const clerk = await userWith(['user.read', 'user.write', 'role.read', 'role.write', 'grant.read', 'grant.write', 'vm.read']);
    const [administrator, viewer] = [await roleNamed('administrator'), await roleNamed('viewer')];
    for (const roleId of [administrator, viewer]) expect(codeOf(await ask(createGrant, { userId: clerk.userId, roleId }, clerk.as))).toBe('PERMISSION_DENIED');
    expect(codeOf(await ask(createRole, { name: 'mighty', permissions: ['host.write'] }, clerk.as))).toBe('PERMISSION_DENIED');
    const own = orThrow(await ask(createRole, { name: 'small', permissions: ['vm.read'] }, clerk.as));
    orThrow(await ask(createGrant, { userId: clerk.userId, roleId: own.id }, clerk.as));
    expect(codeOf(await ask(updateRole, { roleId: own.id, permissions: [...permissions] }, clerk.as))).toBe('PERMISSION_DENIED');
    expect(codeOf(await ask(updateRole, { roleId: own.id, permissions: ['vm.read', 'user.read'] }, clerk.as))).toBe('OK');
    expect(codeOf(await ask(setPassword, { userId: admin.userId, newPassword: 'taken over!!' }, clerk.as))).toBe('PERMISSION_DENIED');
    expect(codeOf(await ask(updateUser, { userId: admin.userId, disabled: true }, clerk.as))).toBe('PERMISSION_DENIED');
    expect(codeOf(await ask(deleteUser, { userId: admin.userId }, clerk.as))).toBe('PERMISSION_DENIED');
    const [grant] = orThrow(await ask(listGrants, { userId: admin.userId }, clerk.as)).items;
    expect(codeOf(await ask(deleteGrant, { grantId: grant!.id }, clerk.as))).toBe('PERMISSION_DENIED');
  });

  it('within a scope give nothing outside of it', async () => {
    const folder = newUuid();
    const role = orThrow(await ask(createRole, { name: 'folder writer', permissions: ['grant.write', 'grant.read', 'vm.read'] }));
    const keeper = await userWith([]);
    const made = orThrow(await ask(createGrant, { userId: keeper.userId, roleId: role.id, scope: 'folder', scopeId: folder }));
    expect(orThrow(await ask(createGrant, { userId: keeper.userId, roleId: role.id, scope: 'folder', scopeId: folder })).id).toBe(made.id);
    expect(codeOf(await ask(createGrant, { userId: keeper.userId, roleId: role.id, scope: 'folder' }))).toBe('INVALID_ARGUMENT');
    const as = await auth.as({ user: keeper.handle, password });
    expect(codeOf(await ask(createGrant, { userId: keeper.userId, roleId: role.id }, as))).toBe('PERMISSION_DENIED');
    expect(orThrow(await ask(listGrants, {}, as)).items).toEqual([]);
    expect(orThrow(await ask(whoAmI, {}, as)).rights).toEqual([{ permissions: ['grant.write', 'grant.read', 'vm.read'], scope: 'folder', scopeId: folder }]);
  });

  it('are gone the moment a grant is', async () => {
    const user = await userWith(['vm.read']);
    const [grant] = orThrow(await ask(listGrants, { userId: user.userId })).items;
    orThrow(await ask(deleteGrant, { grantId: grant!.id }));
    expect(orThrow(await ask(whoAmI, {}, user.as)).rights).toEqual([]);
  });

  it('keep built-in roles as they are, and roles in use where they are', async () => {
    for (const name of ['administrator', 'operator', 'vm-user', 'viewer']) {
      const roleId = await roleNamed(name);
      expect(codeOf(await ask(updateRole, { roleId, permissions: ['vm.read'] }))).toBe('IN_USE');
      expect(codeOf(await ask(deleteRole, { roleId }))).toBe('IN_USE');
    }
    const user = await userWith(['vm.read']);
    const [{ roleId, id } = { roleId: '' as RoleId, id: '' }] = orThrow(await ask(listGrants, { userId: user.userId })).items;
    expect(await ask(deleteRole, { roleId })).toMatchObject({ ok: false, fault: { code: 'IN_USE', details: { by: [{ noun: 'grant', id }] } } });
    orThrow(await ask(deleteUser, { userId: user.userId }));
    orThrow(await ask(deleteRole, { roleId }));
    expect(codeOf(await ask(getRole, { roleId }))).toBe('NOT_FOUND');
  });
});

describe('the last administrator', () => {
  it('stays, whichever way he would go', async () => {
    const [grant] = orThrow(await ask(listGrants, { userId: admin.userId })).items;
    expect(codeOf(await ask(updateUser, { userId: admin.userId, disabled: true }))).toBe('IN_USE');
    expect(codeOf(await ask(deleteUser, { userId: admin.userId }))).toBe('IN_USE');
    expect(codeOf(await ask(deleteGrant, { grantId: grant!.id }))).toBe('IN_USE');
    expect(orThrow(await ask(getUser, { userId: admin.userId })).disabled).toBe(false);
  });

  it('is one of two who remove each other at the same time', async () => {
    const second = await userWith([]);
    orThrow(await ask(createGrant, { userId: second.userId, roleId: await roleNamed('administrator') }));
    const as = await auth.as({ user: second.handle, password });
    const answers = await Promise.all([ask(updateUser, { userId: second.userId, disabled: true }), ask(updateUser, { userId: admin.userId, disabled: true }, as)]);
    expect(answers.map(codeOf).filter((code) => code === 'OK')).toHaveLength(1);
    const left = await auth.rows<{ handle: string }>("SELECT DISTINCT u.handle FROM user_account u JOIN role_grant g ON g.user_id = u.id JOIN role r ON r.id = g.role_id WHERE r.name = 'administrator' AND u.disabled = 0 AND u.deleted_at IS NULL");
    expect(left).toHaveLength(1);
    await auth.sql.query('UPDATE user_account SET disabled = 0');
  });
});

describe('what happened', () => {
  it('stands in the event log of auth, without a secret', async () => {
    let events: readonly { name: string; data: unknown }[] = [];
    for (let turn = 0; turn < 300 && !events.some(({ name }) => name === 'auth.user.deleted'); turn++) {
      events = orThrow(await auth.bus.request(eventsRead('auth'), { afterSeq: 0 }, { as: 'system' })).events;
      await new Promise((resolve) => { setTimeout(resolve, 20); });
    }
    expect(new Set(events.map(({ name }) => name))).toEqual(new Set(['auth.audit.recorded', 'auth.user.created', 'auth.user.changed', 'auth.user.deleted', 'auth.role.changed']));
    expect(JSON.stringify(events)).not.toMatch(/argon2|password_hash|a good enough password/);
  });
});
