// The view of findings on the real database: the newest word of each, for those who look after the site, and what a person decides
// goes to the owner and into the audit log as his deed.
import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import type { DataSource } from 'typeorm';
import { listDrift, NotFound, type DriftFinding, type Permission } from '#contracts';
import { openDatabase, selectRows, tasksMigrations, transaction } from '#database';
import { newUuid, ok, orThrow, type Result } from '#kernel';
import { contextOf, makeTestSchema, type TestSchema } from '#testing';
import { monitoringTables } from '../../monitoring.definition.ts';
import { role, user, userId } from '../monitoring.fixture.ts';
import { DriftReader } from './drift.reader.ts';
import { keepFinding, pageOfFindings, purgeView } from './drift.store.ts';

let schema: TestSchema;
let db: DataSource;
let reader: DriftReader;
/** What the owner answers; asked = what he was asked. */
let owner: Result<DriftFinding> | undefined;
const asked: string[] = [];
beforeAll(async () => {
  schema = await makeTestSchema('monitoring');
  db = await openDatabase({ url: schema.url, migrations: [...tasksMigrations, ...monitoringTables], name: 'monitoring' });
  const request = ({ name }: { name: string }, input: object) => {
    asked.push(`${name} ${JSON.stringify(input)}`);
    return Promise.resolve(owner ?? NotFound.fail('x', { noun: 'drift', id: 'x' }));
  };
  reader = new DriftReader(db, { request } as unknown as ConstructorParameters<typeof DriftReader>[1]);
});
beforeEach(async () => {
  for (const table of ['drift_view', 'outbox']) await db.query(`DELETE FROM ${table}`);
  [owner, asked.length] = [undefined, 0];
});
afterAll(async () => {
  await db.destroy();
  await schema.drop();
});

const at = (minute: number): string => new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString();
const finding = (over: Partial<DriftFinding> = {}): DriftFinding => ({
  id: newUuid() as DriftFinding['id'], service: 'storage', kind: 'file-unknown', state: 'found', object: { noun: 'file', id: 'volumes/x', name: null }, hostId: null, text: 't', would: 'w', reason: null, final: true,
  evidence: {}, looks: 2, repairs: 0, firstSeenAt: at(0), lastSeenAt: at(0), stateSince: at(0), expiresAt: null, version: 1, ...over,
});
const keep = (value: DriftFinding) => transaction(db, (tx) => keepFinding(tx, value));
const list = async (over: object = {}, who: Parameters<typeof pageOfFindings>[1] = 'system') => orThrow(await pageOfFindings(db, who, listDrift.input.parse(over))).items;
const some = (...permissions: Permission[]) => user(userId(), [{ permissions, scope: 'site', scopeId: null }]);

it('keeps the newest word, whatever comes when, and begins anew with one that its owner had forgotten', async () => {
  const one = finding({ version: 3, state: 'quarantined' });
  for (const value of [one, { ...one, version: 2, state: 'found' as const }]) await keep(value);
  expect(await list()).toMatchObject([{ state: 'quarantined' }]);
  await keep({ ...one, version: 1, state: 'found', firstSeenAt: at(9) });
  expect(await list()).toMatchObject([{ state: 'found', version: 1 }]);
});

it('is listed newest first, by what is asked for, for those who may read it on the site', async () => {
  const [a, b] = [finding({ firstSeenAt: at(1) }), finding({ firstSeenAt: at(2), state: 'repaired', kind: 'port-stray', service: 'network', hostId: newUuid() as NonNullable<DriftFinding['hostId']>, object: { noun: 'port', id: 'tap1', name: null } })];
  for (const value of [a, b]) await keep(value);
  const ids = async (over: object, who?: Parameters<typeof list>[1]) => (await list(over, who)).map(({ id }) => id);
  expect(await ids({})).toEqual([b.id, a.id]);
  for (const over of [{ open: true }, { state: 'found' }, { kind: 'file-unknown' }, { service: 'storage' }, { q: 'volumes' }]) expect(await ids(over)).toEqual([a.id]);
  expect(await ids({ hostId: b.hostId })).toEqual([b.id]);
  expect(await ids({}, user(userId(), [role('viewer')]))).toHaveLength(2);
  expect(await ids({}, user(userId(), [{ ...role('viewer'), scope: 'cluster', scopeId: newUuid() }]))).toEqual([]);
});

it('is shown as its owner sees it now, and as he last told where he does not answer', async () => {
  const one = finding();
  await keep(one);
  const ctx = contextOf({ actor: some('drift.read') });
  expect(await reader.get({ findingId: one.id }, ctx)).toEqual(ok(one));
  owner = ok({ ...one, looks: 9 });
  expect(await reader.get({ findingId: one.id }, ctx)).toMatchObject({ value: { looks: 9 } });
  expect(await reader.get({ findingId: one.id }, contextOf({ actor: some('vm.read') }))).toMatchObject({ fault: { code: 'NOT_FOUND' } });
});

it('passes on what a person decides who may, and says who it was', async () => {
  const one = finding();
  await keep(one);
  expect(await reader.pass('repair', { findingId: one.id, confirm: true }, contextOf({ actor: some('drift.read') }))).toMatchObject({ fault: { code: 'PERMISSION_DENIED' } });
  expect(asked).toEqual([]);
  owner = ok({ ...one, state: 'repaired' });
  expect(await reader.pass('repair', { findingId: one.id, confirm: true }, contextOf({ actor: some('drift.read', 'drift.write'), idempotencyKey: newUuid() }))).toMatchObject({ value: { state: 'repaired' } });
  expect(asked).toEqual([`storage.drift.repair {"findingId":"${one.id}","confirm":true}`]);
  const told = (await selectRows<{ event: string }>(db, 'SELECT event FROM outbox')).map(({ event }) => JSON.parse(event) as { data: Record<string, unknown> });
  expect(told).toMatchObject([{ data: { operation: 'monitoring.drift.repair', actor: { handle: 'u' }, object: { noun: 'drift', id: one.id }, outcome: 'done' } }]);
});

it('forgets what has been closed for long, and nothing that is open', async () => {
  for (const state of ['found', 'quarantined', 'dismissed', 'repaired', 'cleared'] as const) await keep(finding({ state }));
  expect(await purgeView(db, 100)).toBe(2);
  expect((await list()).map(({ state }) => state).sort()).toEqual(['dismissed', 'found', 'quarantined']);
});
