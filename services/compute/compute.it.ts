// The whole service, two replicas on one schema, with a NATS server of their own and a host that answers on it.
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { BusClient, hostHandler, serveHost, silentLog } from '#bus';
import { clusterChanged, eventsRead, getHost, hostStatus, listClusters, registerHost, type HostId } from '#contracts';
import { newUuid, orThrow } from '#kernel';
import { startService, type RunningService } from '#service';
import { startNatsServer, testDir, type TestNats, until } from '#testing';
import { makeTestSchema, type TestSchema } from '#testing';
import { computeService } from './compute.definition.ts';

let server: TestNats;
let schema: TestSchema;
let nats: NatsConnection;
let bus: BusClient;
let replicas: RunningService[] = [];
beforeAll(async () => {
  server = await startNatsServer(testDir());
  schema = await makeTestSchema('compute');
  nats = await connect({ servers: server.url });
  bus = new BusClient({ connection: nats, service: 'gateway' });
  const env = { TOK_NATS_URL: server.url, TOK_MYSQL_URL: schema.url, TOK_REDIS_URL: process.env['TOK_TEST_REDIS_URL'] ?? '', TOK_LOG_LEVEL: 'fatal' };
  replicas = await Promise.all([1, 2].map(() => startService(computeService, { env, ownsProcess: false })));
}, 60_000);
afterAll(async () => {
  expect(await Promise.all(replicas.map((replica) => replica.stop()))).toEqual([true, true]);
  await nats.close();
  await server.stop();
  await schema.drop();
}, 30_000);

it('makes one site with one cluster, and takes in a host that is registered and answers', async () => {
  const { items: [cluster, ...others] } = orThrow(await bus.request(listClusters, {}, { as: 'system' }));
  expect(others).toEqual([]);
  // Whoever places VMs hears of it at once, and once, although two replicas made the site together.
  const told = async () => orThrow(await bus.request(eventsRead('compute'), { afterSeq: 0 }, { as: 'system' })).events.filter(({ name }) => name === clusterChanged.name).map(({ objectId }) => objectId);
  await until('somebody is told of the cluster', async () => (await told()).length > 0);
  expect(await told()).toEqual([cluster!.id]);
  const hostId = newUuid() as HostId;
  const inventory = {
    name: 'host1', agentVersion: '1', kernel: '6', qemuVersion: '7.2', ovsVersion: null, accelerator: 'tcg' as const, acceleratorReason: 'no KVM', cpu: { model: 'x', logical: 4, mhz: 1 },
    memoryBytes: 1024 ** 3, cgroup: 'v2' as const, uplinks: [], datapath: 'none' as const, vmUids: { from: 200_000, to: 265_535 }, tpm: true,
  };
  const host = await serveHost(nats, hostId, [hostHandler(hostStatus, () => Promise.resolve({ inventory, vms: [], unmanaged: [] }))], { log: silentLog });
  orThrow(await bus.request(registerHost, { hostId, name: 'host1', clusterId: cluster!.id }, { as: 'system', idempotencyKey: newUuid() }));
  await until('the host has joined', async () => orThrow(await bus.request(getHost, { hostId }, { as: 'system' })).state === 'connected');
  await host.close();
}, 30_000);
