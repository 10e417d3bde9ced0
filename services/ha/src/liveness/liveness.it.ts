// Two replicas on one schema, a NATS server of their own that can be taken away, and a clock that the test moves.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import type { DataSource } from 'typeorm';
import { silentLog } from '#bus';
import { getLiveness, type Host, type HostId, type UserId } from '#contracts';
import { openDatabase, selectRows, tasksMigrations, transaction } from '#database';
import { newUuid, orThrow } from '#kernel';
import { until } from '#testing';
import { startService } from '#service';
import { startNatsServer, testDir, type TestNats } from '#testing';
import { makeTestSchema, type TestSchema } from '#testing';
import { contextOf } from '#testing';
import { haService } from '../../ha.definition.ts';
import { haMigrations } from '../../migrations/0001-tables.ts';
import { LivenessHandlers } from './liveness.handlers.ts';
import { allLiveness, watch } from './liveness.store.ts';
import { SILENCE_MS } from './liveness.ts';
import { LivenessWatch } from './liveness.watch.ts';

let nats: TestNats;
let schema: TestSchema;
let db: DataSource;
const connections: NatsConnection[] = [];
let replicas: LivenessWatch[];
let nowMs = 0;
const clock = { now: () => nowMs, monotonic: () => nowMs };
const hosts = [newUuid(), newUuid()] as HostId[];

const states = async () => (await allLiveness(db)).sort((a, b) => (a.hostId < b.hostId ? -1 : 1)).map(({ state }) => state);
const told = async () => (await selectRows<{ event: string }>(db, 'SELECT event FROM outbox ORDER BY id'))
  .map(({ event }) => (JSON.parse(event) as { data: { liveness: { state: string } } }).data.liveness.state);
/** Time passes as in life: both replicas look every second. Rows age with it. */
async function pass(ms: number, heard: readonly string[] = [], by = replicas): Promise<void> {
  for (let left = ms; left > 0; left -= 1_000) {
    nowMs += 1_000;
    for (const replica of by) for (const hostId of heard) replica.heard(hostId);
    await db.query('UPDATE liveness SET last_heartbeat_at = last_heartbeat_at - INTERVAL 1 SECOND');
    await Promise.all(replicas.map((replica) => replica.look()));
  }
}

beforeAll(async () => {
  nats = await startNatsServer(testDir());
  schema = await makeTestSchema('ha');
  db = await openDatabase({ url: schema.url, migrations: [...tasksMigrations, ...haMigrations], name: 'ha' });
  for (let count = 0; count < 2; count++) connections.push(await connect({ servers: nats.url, reconnectTimeWait: 20, maxReconnectAttempts: -1 }));
});
beforeEach(async () => {
  for (const table of ['liveness', 'outbox']) await db.query(`DELETE FROM ${table}`);
  await transaction(db, async (tx) => {
    for (const id of hosts) await watch(tx, { id, clusterId: newUuid() } as unknown as Host);
  });
  nowMs += 1_000_000;
  replicas = connections.map((connection) => new LivenessWatch(db, connection, silentLog, clock));
  await pass(1_000, hosts);
  await db.query('DELETE FROM outbox');
});
afterAll(async () => {
  await Promise.all(connections.map((connection) => connection.close()));
  await nats.stop();
  await db.destroy();
  await schema.drop();
});

describe('liveness', () => {
  it('of a silent host is told once by two replicas, and its return once', async () => {
    expect(await states()).toEqual(['connected', 'connected']);
    await pass(SILENCE_MS + 2_000, hosts.slice(0, 1));
    expect(await states()).toEqual(['connected', 'not-responding']);
    await pass(2_000, hosts);
    expect(await states()).toEqual(['connected', 'connected']);
    expect(await told()).toEqual(['not-responding', 'connected']);
  });

  it('is not doubted by a replica that is deaf while the other one hears', async () => {
    await pass(SILENCE_MS * 3, hosts, replicas.slice(0, 1));
    expect(await states()).toEqual(['connected', 'connected']);
    expect(await told()).toEqual([]);
  });

  it('is not doubted by a process that stood still', async () => {
    nowMs += SILENCE_MS * 100;
    await db.query('UPDATE liveness SET last_heartbeat_at = NULL');
    await Promise.all(replicas.map((replica) => replica.look()));
    expect(await told()).toEqual([]);
    await pass(SILENCE_MS + 1_000, hosts.slice(0, 1));
    expect(await states()).toEqual(['connected', 'not-responding']);
  });

  it('blames nobody while NATS is away', async () => {
    const other = await startNatsServer(testDir());
    const connection = await connect({ servers: other.url, reconnectTimeWait: 20, maxReconnectAttempts: -1 });
    replicas = [new LivenessWatch(db, connection, silentLog, clock)];
    await pass(2_000, hosts);
    await other.stop();
    await pass(SILENCE_MS * 3);
    expect(await told()).toEqual([]);
    await connection.close();
  }, 60_000);

  it('gives hosts time to come back with NATS', async () => {
    await pass(3_000);
    const reconnected = Promise.all(connections.map(async (connection) => {
      for await (const status of connection.status()) if (status.type === 'reconnect') return;
    }));
    await nats.crashAndRestart();
    await reconnected;
    await pass(SILENCE_MS - 2_000);
    expect(await told()).toEqual([]);
    await pass(2_000, hosts.slice(0, 1));
    await pass(1_000, hosts.slice(0, 1));
    expect(await states()).toEqual(['connected', 'not-responding']);
  }, 30_000);

  it('of one host is for those who may read hosts', async () => {
    const handlers = new LivenessHandlers(db, replicas[0]!);
    expect(orThrow(await handlers.get(getLiveness.input.parse({ hostId: hosts[0] }), contextOf({ system: true })))).toMatchObject({ hostId: hosts[0], state: 'connected' });
    const stranger = contextOf({ actor: { userId: newUuid() as UserId, handle: 'u', rights: [] } });
    expect(await handlers.get(getLiveness.input.parse({ hostId: hosts[0] }), stranger)).toMatchObject({ ok: false, fault: { code: 'NOT_FOUND' } });
  });
});

it('the service hears heartbeats over the bus', async () => {
  const own = await makeTestSchema('ha');
  const service = await startService(haService, { env: { TOK_NATS_URL: nats.url, TOK_MYSQL_URL: own.url, TOK_LOG_LEVEL: 'fatal' }, ownsProcess: false });
  const rows = await openDatabase({ url: own.url, migrations: [], name: 'ha' });
  try {
    const hostId = newUuid();
    await transaction(rows, (tx) => watch(tx, { id: hostId, clusterId: newUuid() } as unknown as Host));
    await until('the host is connected', async () => {
      connections[0]!.publish(`tok.v1.hb.${hostId}`, JSON.stringify({}));
      return (await allLiveness(rows))[0]?.state === 'connected';
    });
    expect((await allLiveness(rows))[0]?.lastHeartbeatAt).not.toBeNull();
  } finally {
    await service.stop();
    await rows.destroy();
    await own.drop();
  }
}, 30_000);
