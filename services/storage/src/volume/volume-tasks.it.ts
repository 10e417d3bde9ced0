import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { connect } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import mysql from 'mysql2/promise';
import type { DataSource } from 'typeorm';
import { FakeHost, FakeWorld } from '../../../../test/integration/fake-host.fixture.ts';
import { startNatsServer, testDir } from '../../../../test/integration/pool.fixture.ts';
import type { TestNats } from '../../../../test/integration/pool.fixture.ts';
import { proofs, quickSettings, taskEnd, until } from '#testing';
import type { Trial } from '#testing';
import { BusClient, silentLog } from '#bus';
import { Internal } from '#contracts';
import type { DatastoreId, HostId, Task, UploadId, VolumeId } from '#contracts';
import { openDatabase, selectRow, tasksMigrations, transaction } from '#database';
import { FaultError, newUuid } from '#kernel';
import { TaskEngine } from '#tasks';
import type { StepContext, TaskKind } from '#tasks';
import { storageMigrations } from '../../migrations/0001-storage.ts';
import { storageWordMigrations } from '../../migrations/0007-volume-words.ts';
import { DatastoreHosts } from '../datastore/datastore.hosts.ts';
import { insertDatastore } from '../datastore/datastore.store.ts';
import { recordHost } from '../host/host.store.ts';
import { insertUpload } from '../upload/upload.store.ts';
import { allocationReconciler } from './allocation.reconciler.ts';
import { VolumeTasks } from './volume.tasks.ts';
import { placeOf } from './volume.ts';
import { findVolume, insertVolume, markReady, markState } from './volume.store.ts';

const schema = `test_volume_tasks_${randomBytes(5).toString('hex')}`;
const world = new FakeWorld();
const hostId = newUuid() as HostId;
const datastoreId = newUuid() as DatastoreId;
let server: TestNats;
let nats: NatsConnection;
let admin: mysql.Connection;
let db: DataSource;
let kinds: VolumeTasks;
let host: FakeHost;

beforeAll(async () => {
  server = await startNatsServer(testDir());
  nats = await connect({ servers: server.url });
  admin = await mysql.createConnection(process.env['TOK_TEST_MYSQL_URL'] ?? '');
  await admin.query(`CREATE DATABASE ${schema} CHARACTER SET utf8mb4`);
  const url = new URL(process.env['TOK_TEST_MYSQL_URL'] ?? '');
  url.pathname = `/${schema}`;
  db = await openDatabase({ url: url.href, migrations: [...tasksMigrations, ...storageMigrations, ...storageWordMigrations], name: 'test' });
  host = await FakeHost.started(hostId, world, nats);
  kinds = new VolumeTasks(new DatastoreHosts(db));
  await transaction(db, (tx) => insertDatastore(tx, { id: datastoreId, name: 'nas', description: '', scope: 'shared', path: '/nas', totalBytes: 2 ** 40, freeBytes: 2 ** 40, hostIds: [hostId] }));
}, 60_000);
afterAll(async () => {
  await host.stop();
  await db.destroy();
  await admin.query(`DROP DATABASE ${schema}`);
  await admin.end();
  await nats.close();
  await server.stop();
}, 30_000);

const MiB = 1024 ** 2;
const placed = (volumeId: VolumeId, use: 'disk' | 'image' = 'disk') => placeOf({ id: volumeId, datastoreId, datastorePath: '/nas', use, format: 'qcow2' });
const fileThere = (volumeId: string): boolean => [...world.files.keys()].some((file) => file.includes(volumeId));
const newRow = (id: string, taskId: string, more: Partial<Parameters<typeof insertVolume>[1]> = {}): Parameters<typeof insertVolume>[1] => ({
  id, name: 'disk', datastoreId, use: 'disk', format: 'qcow2', sizeBytes: 64 * MiB, readOnly: false, parentId: null, copiedFrom: null, claimedBytes: 0, attachedTo: null, ownerId: null, folderId: null, taskId, ...more,
});

/** Begins one task of the kind and answers its id. */
type Begin = (engine: TaskEngine, kind: TaskKind) => Promise<string>;

function trialOf(kind: TaskKind, begin: Begin, check: (task: Task) => Promise<void>): Trial {
  return {
    kind, host,
    open: async (variant, over) => {
      const engine = new TaskEngine({ service: 'storage', db, bus: new BusClient({ connection: nats, service: 'storage' }), log: silentLog, settings: { ...quickSettings, ...over } });
      engine.add([variant]);
      await engine.open();
      return engine;
    },
    begin: (engine) => begin(engine, kind),
    check,
  };
}

/** Made: file and row, ready; not made: neither. */
async function madeOrNothing(task: Task): Promise<void> {
  const row = await findVolume(db, task.object.id);
  const made = task.state === 'succeeded';
  expect({ file: fileThere(task.object.id), state: row?.state }).toEqual(task.state === 'needs-attention' ? { file: true, state: 'failed' } : { file: made, state: made ? 'ready' : undefined });
  expect(await selectRow(db, 'SELECT * FROM task_lock WHERE object_id = ?', [task.object.id]) === undefined || task.state === 'needs-attention').toBe(true);
}

const begins = {
  create: async (engine: TaskEngine, kind: TaskKind) => {
    const volumeId = newUuid() as VolumeId;
    return transaction(db, async (tx) => {
      const ref = await engine.start(tx, kind, { objectId: volumeId, lock: [{ noun: 'volume', id: volumeId }], input: { volumeId, hostId, place: placed(volumeId), sizeBytes: 64 * MiB, source: null } });
      await insertVolume(tx, newRow(volumeId, ref.taskId));
      return ref.taskId;
    });
  },
  copy: async (engine: TaskEngine, kind: TaskKind) => {
    const [volumeId, sourceId] = [newUuid() as VolumeId, newUuid() as VolumeId];
    world.files.set(`/nas/images/${sourceId}.qcow2`, { backing: null, bytes: 1 });
    return transaction(db, async (tx) => {
      const ref = await engine.start(tx, kind, { objectId: volumeId, lock: [{ noun: 'volume', id: volumeId }], input: { volumeId, hostId, place: placed(volumeId), sizeBytes: 64 * MiB, source: placed(sourceId, 'image') } });
      await insertVolume(tx, newRow(volumeId, ref.taskId));
      return ref.taskId;
    });
  },
  ingest: async (engine: TaskEngine, kind: TaskKind) => {
    const [volumeId, uploadId] = [newUuid() as VolumeId, newUuid() as UploadId];
    world.staging.set(uploadId, new Map([[0, Buffer.from('good')]]));
    return transaction(db, async (tx) => {
      await insertUpload(tx, { id: uploadId, datastoreId, hostId });
      const input = { volumeId, hostId, place: placed(volumeId, 'image'), uploadId, format: 'qcow2', sizeBytes: 4, sha256: null, maxVirtualBytes: 2 ** 40 };
      const ref = await engine.start(tx, kind, { objectId: volumeId, lock: [{ noun: 'volume', id: volumeId }], input });
      await insertVolume(tx, newRow(volumeId, ref.taskId, { use: 'image', readOnly: true }));
      return ref.taskId;
    });
  },
  delete: async (engine: TaskEngine, kind: TaskKind) => {
    const volumeId = newUuid() as VolumeId;
    world.files.set(`/nas/volumes/${volumeId}.qcow2`, { backing: null, bytes: 1 });
    return transaction(db, async (tx) => {
      const ref = await engine.start(tx, kind, { objectId: volumeId, lock: [{ noun: 'volume', id: volumeId }], input: { volumeId, name: 'disk', place: placed(volumeId), hostId, before: 'ready' } });
      await insertVolume(tx, newRow(volumeId, ref.taskId));
      await markReady(tx, volumeId, ref.taskId, { allocatedBytes: 1 });
      await markState(tx, volumeId, 'deleting', ref.taskId);
      return ref.taskId;
    });
  },
} satisfies Record<string, Begin>;

/** Gone, or still there for another attempt: never a ready volume without its file. */
async function goneOrVisible(task: Task): Promise<void> {
  const row = await findVolume(db, task.object.id);
  if (task.state === 'succeeded') expect({ file: fileThere(task.object.id), row }).toEqual({ file: false, row: undefined });
  else expect(row?.state === 'failed' || (row?.state === 'ready' && fileThere(task.object.id))).toBe(true);
}

describe.each([
  ['create', () => trialOf(kinds.create, begins.create, madeOrNothing)],
  ['copy', () => trialOf(kinds.copy, begins.copy, madeOrNothing)],
  ['ingest', () => trialOf(kinds.ingest, begins.ingest, madeOrNothing)],
  ['delete', () => trialOf(kinds.delete, begins.delete, goneOrVisible)],
] as const)('the task that does %s', (_name, trial) => {
  for (const { shows, proof, withinMs } of proofs) it(shows, () => proof(trial()), withinMs);
});

it('the host that was told to make a file is the one that removes it, when it responds again: another would be quicker than what that one still has to do', async () => {
  const told = async (state: 'connected' | 'not-responding', version: number): Promise<void> => { await recordHost(db, { id: hostId, state, version }); };
  // A second host sees the datastore and could do it at once.
  const otherId = newUuid() as HostId;
  const other = await FakeHost.started(otherId, world, nats);
  const create: TaskKind = kinds.create;
  const turning = create.steps.map((step) => ({
    ...step,
    run: async (ctx: StepContext<unknown>) => {
      await step.run(ctx);
      await told('not-responding', 2);
      throw new FaultError(Internal.fault('it turns back'));
    },
  }));
  const engine = await trialOf(create, begins.create, madeOrNothing).open({ ...create, steps: turning });
  try {
    await told('connected', 1);
    await recordHost(db, { id: otherId, state: 'connected', version: 1 });
    await db.query('INSERT INTO datastore_host (datastore_id, host_id, seen) VALUES (?, ?, 1)', [datastoreId, otherId]);
    const taskId = await begins.create(engine, kinds.create);
    const task = await until('it waits for the host', async () => {
      const found = await engine.get(taskId);
      return found?.waitsFor?.holder === hostId ? found : undefined;
    });
    expect([task.waitsFor?.what, fileThere(task.object.id)]).toEqual(['the host to respond', true]);
    await told('connected', 3);
    await engine.wake(taskId);
    await madeOrNothing(await taskEnd(engine, taskId));
  } finally {
    await engine.close();
    await other.stop();
  }
}, 30_000);

describe('what volumes take', () => {
  it('is read from their files, without another version, and stays where no host can look', async () => {
    const [grown, same, unknown] = [newUuid(), newUuid(), newUuid()];
    const hosts = new DatastoreHosts(db);
    const bus = new BusClient({ connection: nats, service: 'storage' });
    const run = () => allocationReconciler(db, bus, hosts, silentLog).run(new AbortController().signal);
    await transaction(db, async (tx) => {
      for (const id of [grown, same, unknown]) {
        await insertVolume(tx, newRow(id, newUuid()));
        await markReady(tx, id, '', { allocatedBytes: 200_000 });
      }
    });
    for (const [id, bytes] of [[grown, 5 * MiB], [same, 200_000]] as const) world.files.set(`/nas/volumes/${id}.qcow2`, { backing: null, bytes });
    const seen = async (id: string) => { const { version, allocatedBytes } = (await findVolume(db, id))!; return [version, allocatedBytes]; };
    const [version] = await seen(grown);
    await run();
    expect(await Promise.all([grown, same, unknown].map(seen))).toEqual([[version, 5 * MiB], [version, 200_000], [version, 200_000]]);

    world.files.set(`/nas/volumes/${grown}.qcow2`, { backing: null, bytes: 6 * MiB });
    await recordHost(db, { id: hostId, state: 'not-responding', version: 1_000 });
    await run();
    expect(await seen(grown)).toEqual([version, 5 * MiB]);
  });
});
