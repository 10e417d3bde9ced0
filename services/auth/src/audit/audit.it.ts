// The audit log on a real database and a real JetStream: what was done and denied is in it exactly once, whatever is killed
// on the way, and whoever changes it is found.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { jetstream } from '@nats-io/jetstream';
import type { DataSource } from 'typeorm';
import { AuditEntry, auditRecorded, createGrant, createUser, eventSubject, listAudit, listRoles, listUsers, login, logout, refreshSession, setPassword, updateUser, verifyAudit } from '#contracts';
import type { AuditFacts, RequestOf, UserId } from '#contracts';
import { newUuid, orThrow } from '#kernel';
import { Db } from '#service';
import { until } from '#testing';
import { AuthUnderTest } from '../auth.fixture.ts';
import { Master } from '../tokens.ts';
import { auditReconciler } from './audit.reconciler.ts';

let auth: AuthUnderTest;
let as: Awaited<ReturnType<AuthUnderTest['as']>>;
let eve: typeof as;
const evesPassword = 'the password of eve';
beforeAll(async () => {
  auth = await AuthUnderTest.started();
  as = await auth.as(await auth.admin());
  const { id } = orThrow(await auth.bus.request(createUser, { handle: 'eve', password: evesPassword, mustChangePassword: false }, as()));
  const { items } = orThrow(await auth.bus.request(listRoles, { name: 'viewer' }, as()));
  orThrow(await auth.bus.request(createGrant, { userId: id, roleId: items[0]!.id, scope: 'site' }, as()));
  eve = await auth.as({ user: 'eve', password: evesPassword });
}, 60_000);
afterAll(() => auth.end());

const read = async (filter: RequestOf<typeof listAudit> = {}): Promise<AuditEntry[]> => orThrow(await auth.bus.request(listAudit, { limit: 500, ...filter }, as())).items.map((item) => AuditEntry.parse(item));
const found = (what: string, filter: RequestOf<typeof listAudit>, count = 1): Promise<AuditEntry[]> => until(what, async () => {
  const items = await read(filter);
  return items.length >= count ? items : undefined;
}, 60_000);
/** Everything that was said before this is in the log when what is said now is. */
async function settled(): Promise<void> {
  const { id } = orThrow(await auth.bus.request(createUser, { handle: `mark-${newUuid().slice(-12)}`, password: 'a long password' }, as()));
  await found('the mark', { objectId: id });
}
const verify = async (input: RequestOf<typeof verifyAudit> = {}) => orThrow(await auth.bus.request(verifyAudit, input, as()));
const flaws = async () => (await verify()).flaws.map(({ seq, flaw }) => [seq, flaw]);
const newUser = (options: { idempotencyKey?: string; door?: 'rest' | 'bus' } = {}, handle = `user-${newUuid().slice(-12)}`) =>
  auth.bus.request(createUser, { handle, password: 'a secret of a user' }, { ...as(), ...options });

describe('what is done', () => {
  it('is in the log once, with who, through which door, to what and under which trace, and without any password', async () => {
    const user = orThrow(await newUser({ door: 'bus' }));
    const [entry] = await found('the record', { objectId: user.id });
    expect(entry).toMatchObject({ source: 'auth', operation: 'auth.user.create', door: 'bus', actor: { handle: 'admin' }, service: null, object: { noun: 'user', id: user.id }, outcome: 'done', code: null, times: 1 });
    expect(entry?.traceId).toMatch(/^[0-9a-f]{32}$/);
    expect(await read({ trace: entry!.traceId! })).toHaveLength(1);
    expect(JSON.stringify(await auth.rows('SELECT * FROM audit_log'))).not.toContain('secret');
  });
  it('is in it once when it is asked for again under its key, and not at all when it is refused', async () => {
    const idempotencyKey = newUuid();
    const handle = `twice-${newUuid().slice(-12)}`;
    const first = orThrow(await newUser({ idempotencyKey }, handle));
    expect(orThrow(await newUser({ idempotencyKey }, handle))).toEqual(first);
    expect(await newUser({ idempotencyKey }, 'other-body')).toMatchObject({ fault: { code: 'IDEMPOTENCY_KEY_REUSED' } });
    expect(await newUser({}, handle)).toMatchObject({ fault: { code: 'NAME_TAKEN' } });
    await settled();
    expect(await read({ objectId: first.id })).toHaveLength(1);
  });
  it('is in it once when all of these are asked at the same time, in a chain without flaw', async () => {
    const idempotencyKey = newUuid();
    const handle = `crowd-${newUuid().slice(-12)}`;
    const all = await Promise.all([...Array.from({ length: 10 }, () => newUser({ idempotencyKey }, handle)), ...Array.from({ length: 30 }, () => newUser())]);
    const ids = new Set(all.map((answer) => orThrow(answer).id));
    await settled();
    const created = (await read({ operation: 'auth.user.create' })).map(({ object }) => object.id);
    expect([...ids].map((id) => created.filter((one) => one === id).length)).toEqual(Array.from({ length: 31 }, () => 1));
    expect(await flaws()).toEqual([]);
  }, 60_000);
  it('says which user signs in, stays signed in and leaves', async () => {
    const session = await auth.session({ user: 'eve', password: evesPassword });
    const next = orThrow(await auth.bus.request(refreshSession, { refreshToken: session.refreshToken }));
    orThrow(await auth.bus.request(logout, { refreshToken: next.refreshToken }));
    orThrow(await auth.bus.request(logout, { refreshToken: next.refreshToken }));
    for (const operation of [refreshSession.name, logout.name]) expect(await found(operation, { operation, actor: 'eve' })).toHaveLength(1);
    expect((await read({ operation: login.name, actor: session.user.id })).length).toBeGreaterThan(0);
  });
});

describe('what is denied', () => {
  it('is in the log once, whether the right or the right on the object is missing', async () => {
    expect(await auth.bus.request(createUser, { handle: 'of-eve', password: 'a secret of a user' }, { ...eve(), door: 'rest' })).toMatchObject({ fault: { code: 'PERMISSION_DENIED' } });
    expect(await auth.bus.request(listAudit, {}, eve())).toMatchObject({ fault: { code: 'PERMISSION_DENIED' } });
    await settled();
    const denied = await read({ actor: 'eve', outcome: 'denied' });
    expect(denied.map(({ operation, door, code, object }) => [operation, door, code, object.noun])).toEqual(expect.arrayContaining([['auth.user.create', 'rest', 'PERMISSION_DENIED', 'user'], ['auth.audit.list', 'service', 'PERMISSION_DENIED', 'audit']]));
    expect(denied).toHaveLength(2);
  });
  it('to one who may look but not change names the object', async () => {
    const admin = await auth.bus.request(setPassword, { userId: (await auth.session(await auth.admin())).user.id, newPassword: 'a secret of a user' }, eve());
    expect(admin.ok).toBe(false);
    const user = orThrow(await newUser());
    expect(await auth.bus.request(updateUser, { userId: user.id, displayName: 'Eve was here' }, eve())).toMatchObject({ ok: false });
    await found('the denial', { objectId: user.id, outcome: 'denied' });
  });
  it.each([['of somebody', 'eve', 'eve'], ['of nobody, which may be a password', 'not-an-account', null]])('is a failed sign-in %s', async (_what, user, claimed) => {
    const address = `192.0.2.${claimed === null ? 1 : 2}`;
    expect(await auth.bus.request(login, { user, password: 'a wrong guess', address })).toMatchObject({ fault: { code: 'BAD_CREDENTIALS' } });
    const entry = await until('the failure', async () => (await read({ operation: login.name, outcome: 'denied' })).find((one) => one.address === address), 30_000);
    expect(entry).toMatchObject({ actor: null, claimed, code: 'BAD_CREDENTIALS' });
    expect(JSON.stringify(await auth.rows('SELECT record FROM audit_log'))).not.toMatch(/not-an-account|wrong guess/);
  });
  it('does not fill the log when it is a flood: it is counted', async () => {
    const before = await auth.rows<{ n: number }>('SELECT COUNT(*) AS n FROM outbox');
    const guesses = await Promise.all(Array.from({ length: 300 }, (_, index) => auth.bus.request(login, { user: 'eve', password: `guess ${index}`, address: '198.51.100.7' }, { timeoutMs: 60_000 })));
    expect(guesses.filter(({ ok }) => ok)).toEqual([]);
    const after = await auth.rows<{ n: number }>('SELECT COUNT(*) AS n FROM outbox');
    expect(after[0]!.n - before[0]!.n).toBeLessThan(80);
  }, 60_000);
});

/** As another service says it, from its own outbox through the stream. */
const facts = (over: Partial<AuditFacts> = {}): AuditFacts => ({
  operation: 'network.switch.create', door: 'rest', actor: { userId: newUuid() as UserId, handle: 'ann' }, claimed: null, service: null, address: null, object: { noun: 'switch', id: newUuid() },
  outcome: 'done', code: null, taskId: null, traceId: null, times: 1, since: null, ...over,
});
let said = 0;
async function say(data: object): Promise<void> {
  const event = auditRecorded('network');
  const envelope = { id: newUuid(), source: 'network', seq: (said += 1), name: event.name, version: 1, noun: 'audit', objectId: 'none', at: new Date().toISOString(), actor: null, traceId: null, taskId: null, data };
  await jetstream(auth.nats).publish(eventSubject(event, 'none'), JSON.stringify(envelope));
}

describe('whatever is killed', () => {
  it('between commit and relay, and between relay and chain: each record is there once', async () => {
    const users = await Promise.all(Array.from({ length: 10 }, async () => orThrow(await newUser())));
    await auth.replicas.pop()!.stop();
    const before = await auth.rows<{ id: string }>('SELECT id FROM audit_log');
    // As if the relay had died before it noted what it sent, and the chain before it moved on.
    await auth.sql.query("UPDATE relay_lease SET sent_seq = 0 WHERE name = 'outbox'");
    await auth.sql.query("UPDATE consumer_position SET last_seq = 0 WHERE consumer = 'auth-audit' AND source = 'auth'");
    await auth.start();
    await settled();
    const after = await auth.rows<{ id: string }>('SELECT id FROM audit_log');
    expect(new Set(after.map(({ id }) => id)).size).toBe(after.length);
    expect(after.length).toBeGreaterThan(before.length);
    for (const { id } of users) expect(await read({ objectId: id })).toHaveLength(1);
    expect(await flaws()).toEqual([]);
  }, 60_000);
  it('NATS, in the middle of it', async () => {
    const asked = Array.from({ length: 10 }, (_, index) => ({ handle: `storm-${index}-${newUuid().slice(-12)}`, idempotencyKey: newUuid() }));
    const first = Promise.all(asked.map(({ handle, idempotencyKey }) => newUser({ idempotencyKey }, handle)));
    await auth.crashNats();
    await first;
    const users = await Promise.all(asked.map(({ handle, idempotencyKey }) => until('it is answered', async () => {
      const answer = await newUser({ idempotencyKey }, handle);
      return answer.ok ? answer.value : undefined;
    }, 30_000)));
    await settled();
    for (const { id } of users) expect(await read({ objectId: id, operation: createUser.name })).toHaveLength(1);
    expect(await flaws()).toEqual([]);
  }, 90_000);
  it('a replica, while two of them chain', async () => {
    await auth.start();
    const objects = await Promise.all(Array.from({ length: 20 }, async () => {
      const fact = facts();
      await say(fact);
      return fact.object.id!;
    }));
    await auth.replicas.shift()!.stop();
    for (const id of objects) expect(await found('what another service said', { objectId: id })).toHaveLength(1);
    expect(await flaws()).toEqual([]);
    // What the replica had fetched and nobody can be asked for again, as nobody plays its owner, comes when JetStream misses the acknowledgement.
  }, 90_000);
  it('what cannot be read holds nothing up', async () => {
    await say({ nonsense: true });
    const behind = facts();
    await say(behind);
    expect(await found('what came behind', { objectId: behind.object.id! })).toHaveLength(1);
    expect(await read({ operation: 'network.audit.unreadable' })).toHaveLength(1);
  });
});

describe('the log', () => {
  const rows = () => auth.rows<{ seq: number; record: string }>('SELECT seq, record FROM audit_log ORDER BY seq');
  it('is changed by nobody who goes through the table', async () => {
    await expect(auth.sql.query("UPDATE audit_log SET outcome = 'done'")).rejects.toThrow('never changed');
    await expect(auth.sql.query('DELETE FROM audit_log')).rejects.toThrow('only pruned');
  });
  it('shows a row that was altered, one that was removed, and a head that was set back', async () => {
    await settled();
    await auth.sql.query('DROP TRIGGER audit_log_no_update');
    await auth.sql.query('DROP TRIGGER audit_log_no_delete');
    const { head } = await verify();
    const at = Math.floor(head.seq / 2);
    const { record } = (await rows()).find(({ seq }) => seq === at)!;
    await auth.sql.query('UPDATE audit_log SET record = ? WHERE seq = ?', [record.replace('admin', 'nobody').replace('eve', 'bob'), at]);
    expect(await flaws()).toEqual([[at, 'altered']]);
    await auth.sql.query('UPDATE audit_log SET record = ? WHERE seq = ?', [record, at]);
    expect(await flaws()).toEqual([]);
    await auth.sql.query('CREATE TABLE kept AS SELECT * FROM audit_log WHERE seq IN (?, ?)', [at, head.seq]);
    await auth.sql.query('DELETE FROM audit_log WHERE seq IN (?, ?)', [at, head.seq]);
    expect(await flaws()).toEqual([[at, 'missing'], [head.seq, 'missing']]);
    await auth.sql.query('INSERT INTO audit_log SELECT * FROM kept');
    expect(await flaws()).toEqual([]);
    await auth.sql.query("UPDATE audit_link SET seq = seq - 1 WHERE name = 'head'");
    expect(await flaws()).toEqual([[head.seq, 'head']]);
    await settled();
    expect(await flaws()).toEqual([]);
  });
  it('is checked in stretches, and against a hash that was kept elsewhere', async () => {
    const whole = await verify({ limit: 5_000 });
    let checked = 0;
    for (let from: number | null = 0; from !== null;) {
      const stretch = await verify({ from, limit: 7 });
      expect(stretch.flaws).toEqual([]);
      checked += stretch.checked;
      from = stretch.next;
    }
    expect(checked).toBe(whole.checked);
    const { seq, hash } = whole.head;
    expect((await verify({ expect: `${seq}:${hash}` })).flaws).toEqual([]);
    expect((await verify({ expect: `${seq}:${'0'.repeat(64)}` })).flaws).toMatchObject([{ seq, flaw: 'head' }]);
  });
  it('loses its oldest rows to retention, says so, and stays a chain', async () => {
    const replica = auth.replicas[0]!;
    const { head } = await verify();
    const db = replica.get<DataSource>(Db);
    await auditReconciler(db, replica.get<Buffer>(Master), 1).run(new AbortController().signal);
    expect((await verify()).base.seq).toBe(0);
    await auth.sql.query('UPDATE audit_log SET chained_at = chained_at - INTERVAL 2 DAY WHERE seq <= ?', [head.seq]);
    await auditReconciler(db, replica.get<Buffer>(Master), 1).run(new AbortController().signal);
    const [pruned] = await found('what was pruned', { operation: 'auth.audit.prune' });
    expect(pruned).toMatchObject({ service: 'auth', object: { noun: 'audit', id: `1-${head.seq}` } });
    const after = await verify();
    expect([after.base, after.flaws]).toEqual([head, []]);
    expect((await rows())[0]?.seq).toBe(head.seq + 1);
    await auth.sql.query("UPDATE audit_link SET hash = REPEAT('1', 64) WHERE name = 'base'");
    expect((await flaws()).map(([, flaw]) => flaw)).toEqual(['base', 'altered']);
  });
  it('is for nobody without the right, also not by way of users', async () => {
    expect(await auth.bus.request(verifyAudit, {}, eve())).toMatchObject({ fault: { code: 'PERMISSION_DENIED' } });
    expect(await auth.bus.request(listUsers, {}, eve())).toMatchObject({ ok: false });
  });
});
