// Storage's comparison through its own service, against a datastore that a test fills: what nobody knows moves aside with all its
// bytes, comes back or goes for good as a person says, and volumes are not touched.
import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import type { DataSource } from 'typeorm';
import { createDatastore, createVolume, deleteVolume, driftOperations, storageTask, type DatastoreId, type FindingId } from '#contracts';
import { newUuid } from '#kernel';
import { Db } from '#service';
import { DriftKeeper, silentTaskLog } from '#testing';
import { GiB } from '../../../../test/integration/fake-host.fixture.ts';
import { Pool } from '../../../../test/integration/pool.fixture.ts';
import { DatastoreHosts } from '../datastore/datastore.hosts.ts';
import { storageService } from '../../storage.definition.ts';
import { fileDrift } from './file.drift.ts';

let pool: Pool;
let nas: DatastoreId;
let keeper: DriftKeeper;
beforeAll(async () => {
  pool = await Pool.started([storageService], 2);
  pool.world.directories.set('/nas', { marker: null, freeBytes: 50 * GiB });
  nas = (await pool.must(createDatastore, { name: 'nas', scope: 'shared', path: '/nas', hostIds: pool.hostIds })).id;
  const [service] = pool.services;
  const db = service!.get<DataSource>(Db);
  keeper = new DriftKeeper({ service: 'storage', db, log: silentTaskLog, settings: { everyMs: 1_000, keepDays: 30, acts: true } });
  keeper.use([fileDrift(db, pool.bus, service!.get(DatastoreHosts))]);
}, 60_000);
beforeEach(async () => {
  await pool.rows('storage', "UPDATE relay_lease SET holder = NULL WHERE name = 'drift'");
  await pool.rows('storage', 'DELETE FROM drift_finding');
  pool.world.files.clear();
  pool.world.kept.clear();
});
afterAll(() => pool.stop(), 30_000);

const look = async (times = 3): Promise<void> => { for (let time = 0; time < times; time++) await keeper.look(new AbortController().signal); };
const found = () => pool.rows<{ id: FindingId; kind: string; state: string; object_id: string; reason: string | null }>('storage', 'SELECT id, kind, state, object_id, reason FROM drift_finding ORDER BY kind, object_id');
const one = async () => (await found())[0]!.id;
const { repair, release } = driftOperations('storage');
const strange = (bytes = 9): string => {
  const path = `/nas/volumes/${newUuid()}.qcow2`;
  pool.world.files.set(path, { backing: null, bytes });
  return path;
};

it('volumes that are made and deleted meanwhile are no findings', async () => {
  const made: string[] = [];
  for (let count = 0; count < 4; count++) {
    const ref = await pool.must(createVolume, { name: `v${count}`, datastoreId: nas, sizeBytes: 1024 ** 2 });
    await look(1);
    await pool.ended(storageTask, ref);
    made.push(ref.objectId);
    await look(1);
  }
  for (const volumeId of made) {
    const ref = await pool.must(deleteVolume, { volumeId: volumeId });
    await look(1);
    await pool.ended(storageTask, ref);
    await look(1);
  }
  expect([await found(), pool.world.kept.size]).toEqual([[], 0]);
});

it('a file that nobody knows moves aside, and comes back when a person says that it is right there', async () => {
  const path = strange();
  await look();
  expect(await found()).toMatchObject([{ kind: 'file-unknown', state: 'quarantined', reason: null }]);
  expect([[...pool.world.files.keys()], [...pool.world.kept.keys()]]).toEqual([[], [path]]);
  expect(await pool.must(release, { findingId: await one() })).toMatchObject({ state: 'dismissed' });
  await look();
  expect([[...pool.world.files.keys()], (await found())[0]!.state]).toEqual([[path], 'dismissed']);
});

it('goes for good only when that is confirmed, and one that is in use stays where it is', async () => {
  const [path, open] = [strange(), strange()];
  pool.world.open.add(open);
  await look();
  expect((await found()).map(({ state, reason }) => `${state} ${reason ?? ''}`).sort()).toEqual(['quarantined ', 'quarantined kept where it is: the file is open']);
  for (const { id: findingId } of await found()) expect(await pool.ask(repair, { findingId })).toMatchObject({ ok: false, fault: { code: 'CONFIRMATION_NEEDED' } });
  const answers = await Promise.all((await found()).map(({ id: findingId }) => pool.ask(repair, { findingId, confirm: true })));
  expect(answers.map((answer) => (answer.ok ? answer.value.state : answer.fault.code)).sort()).toEqual(['IN_USE', 'repaired']);
  expect([pool.world.files.has(open), pool.world.files.has(path), pool.world.kept.size]).toEqual([true, false, 0]);
});

it('a volume without its file is said to be so; one whose file lies in quarantine gets it back', async () => {
  const ref = await pool.must(createVolume, { name: 'lost', datastoreId: nas, sizeBytes: 1024 ** 2 });
  await pool.ended(storageTask, ref);
  // What a task has just worked on is not judged yet.
  await pool.rows('storage', 'UPDATE task SET ended_at = ended_at - INTERVAL 1 HOUR');
  const [path] = [...pool.world.files.keys()];
  const file = pool.world.files.get(path!)!;
  pool.world.files.clear();
  await look();
  expect(await found()).toMatchObject([{ kind: 'file-missing', state: 'found' }]);
  expect(await pool.ask(repair, { findingId: await one() })).toMatchObject({ ok: false, fault: { code: 'WRONG_STATE' } });
  pool.world.kept.set(path!, file);
  await look();
  expect(await pool.must(repair, { findingId: await one() })).toMatchObject({ state: 'repaired' });
  expect(pool.world.files.get(path!)).toEqual(file);
});

it('nothing moves where a large part of a datastore is unknown: then the rows are wrong', async () => {
  for (let count = 0; count < 12; count++) strange();
  await look();
  expect(new Set((await found()).filter(({ kind }) => kind === 'file-unknown').map(({ state, reason }) => `${state} ${(reason ?? '').slice(0, 12)}`))).toEqual(new Set(['found a large part']));
  expect(pool.world.kept.size).toBe(0);
});
