// The last hundred places of a cluster and five hundred who want them at once: two replicas of the scheduler, compute and
// network as they run, simulated hosts. Exactly a hundred get one; the others hear why, host by host; nothing stays held.
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { BusClient } from '#bus';
import { claimPlacement, computeTask, createCluster, createVm, endStates, getVm, listCapacity, listClaims, listVms, registerHost, releaseClaim, type ClusterId, type Operation, type ReplyOf, type RequestOf, type Task, type VmId } from '#contracts';
import { newUuid, orThrow, type Result } from '#kernel';
import { startService, type RunningService } from '#service';
import { makeTestSchema, startNatsServer, testDir, type TestNats, type TestSchema } from '#testing';
import { computeService } from '../../services/compute/compute.definition.ts';
import { networkService } from '../../services/network/network.definition.ts';
import { schedulerService } from '../../services/scheduler/scheduler.definition.ts';
import { until } from '#testing';
import { SimulatedHost } from './simulated-host.fixture.ts';

const GiB = 1024 ** 3;
const WANTED = 500;
const PLACES = 100;
let server: TestNats;
let nats: NatsConnection;
let bus: BusClient;
let hosts: SimulatedHost[];
let clusterId: ClusterId;
const services: RunningService[] = [];
const schemas: TestSchema[] = [];

const ask = <O extends Operation>(operation: O, input: RequestOf<O>): Promise<Result<ReplyOf<O>>> => bus.request(operation, input, { as: 'system', idempotencyKey: newUuid(), timeoutMs: 60_000 });
const must = async <O extends Operation>(operation: O, input: RequestOf<O>): Promise<ReplyOf<O>> => orThrow(await ask(operation, input));

beforeAll(async () => {
  server = await startNatsServer(testDir());
  nats = await connect({ servers: server.url });
  bus = new BusClient({ connection: nats, service: 'gateway' });
  const envOf = async (name: string): Promise<Record<string, string>> => {
    const schema = await makeTestSchema(name);
    schemas.push(schema);
    return { TOK_NATS_URL: server.url, TOK_MYSQL_URL: schema.url, TOK_REDIS_URL: process.env['TOK_TEST_REDIS_URL'] ?? '', TOK_LOG_LEVEL: 'fatal' };
  };
  const scheduler = await envOf('scheduler');
  services.push(
    await startService(computeService, { env: await envOf('compute'), ownsProcess: false }),
    await startService(networkService, { env: await envOf('network'), ownsProcess: false }),
    ...(await Promise.all([1, 2].map(() => startService(schedulerService, { env: scheduler, ownsProcess: false })))),
  );
  clusterId = (await must(createCluster, { name: 'full', cpuOvercommit: 5 })).id;
  hosts = Array.from({ length: 5 }, (_, index) => new SimulatedHost({ name: `host-${index}`, logicalCpus: 4, memoryBytes: 64 * GiB }, nats));
  for (const host of hosts) {
    await host.start();
    await must(registerHost, { hostId: host.id, name: host.machine.name, clusterId });
  }
  await until('all hosts are known', async () => {
    const { items } = await must(listCapacity, { clusterId });
    return items.length === hosts.length && items.reduce((sum, { vcpus }) => sum + vcpus, 0) === PLACES ? true : undefined;
  });
}, 120_000);
afterAll(async () => {
  for (const service of services) await service.stop();
  for (const host of hosts) await host.stop();
  await nats.close();
  await server.stop();
  for (const schema of schemas) await schema.drop();
}, 60_000);

/** What is held now, as the hosts' sums say and as the claims add up. */
async function held(): Promise<[number, number]> {
  const { items } = await must(listCapacity, { clusterId });
  return [items.reduce((sum, { vcpusClaimed }) => sum + vcpusClaimed, 0), (await must(listClaims, { limit: 500 })).items.length];
}
const hostNames = (refusals: unknown): string[] => [...new Set((refusals as { hostName: string }[]).map(({ hostName }) => hostName))].sort();

it('five hundred claims at once: a hundred are granted, and given back none is left', async () => {
  const vmIds = Array.from({ length: WANTED }, () => newUuid() as VmId);
  const answers = await Promise.all(vmIds.map((vmId) => ask(claimPlacement, { vmId, clusterId, demand: { vcpus: 1, memoryBytes: GiB / 4 } })));
  const refused = answers.flatMap((answer) => (answer.ok ? [] : [answer.fault]));
  expect(Object.fromEntries([...Map.groupBy(answers, (answer) => (answer.ok ? 'OK' : answer.fault.code))].map(([code, all]) => [code, all.length]))).toEqual({ OK: PLACES, NO_CAPACITY: WANTED - PLACES });
  expect(refused.every(({ details }) => hostNames(details?.['refusals']).length === hosts.length)).toBe(true);
  expect(await held()).toEqual([PLACES, PLACES]);
  await Promise.all(vmIds.map((vmId) => must(releaseClaim, { vmId })));
  expect(await held()).toEqual([0, 0]);
}, 120_000);

it('five hundred creations at once: a hundred VMs run, four hundred tasks say NO_CAPACITY host by host, no claim is left over', async () => {
  const refs = await Promise.all(Array.from({ length: WANTED }, (_, index) => must(createVm, { name: `vm-${index}`, clusterId, cpu: { sockets: 1, cores: 1, threads: 1 }, memoryBytes: GiB / 4 })));
  const tasks: Task[] = [];
  for (const { taskId } of refs) {
    tasks.push(await until('the creation has ended', async () => {
      const task = await must(computeTask.get, { taskId });
      return endStates.includes(task.state) ? task : undefined;
    }));
  }
  const ends = Map.groupBy(tasks, ({ state, error }) => `${state} ${error?.code ?? ''}`.trim());
  expect(Object.fromEntries([...ends].map(([end, all]) => [end, all.length]))).toEqual({ succeeded: PLACES, 'failed NO_CAPACITY': WANTED - PLACES });
  expect(tasks.every(({ error }) => error === null || hostNames(error.details?.['refusals']).length === hosts.length)).toBe(true);
  const running = (await must(listVms, { clusterId, state: 'running', limit: 500 })).items;
  expect([running.length, (await must(listVms, { clusterId, limit: 500 })).items.length]).toEqual([PLACES, PLACES]);
  expect(hosts.map(({ vms }) => vms.size)).toEqual(hosts.map(() => PLACES / hosts.length));
  const { items: claims } = await must(listClaims, { limit: 500 });
  expect(claims.map(({ vmId }) => vmId as string).sort()).toEqual(running.map(({ id }) => id as string).sort());
  expect(await held()).toEqual([PLACES, PLACES]);
  expect(await ask(getVm, { vmId: (tasks.find(({ state }) => state === 'failed')!.object.id) })).toMatchObject({ ok: false, fault: { code: 'NOT_FOUND' } });
}, 240_000);
