// Claims by two replicas on one schema: never more than there is, kept or moved, given back once, and rebuilt from nothing.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { DataSource } from 'typeorm';
import { claimPlacement, explainPlacement, listCapacity, listClaims, type Host, type InputOf } from '#contracts';
import { openDatabase, selectRows, tasksMigrations, transaction } from '#database';
import { newUuid, ok, orThrow } from '#kernel';
import { makeTestSchema, type TestSchema } from '#testing';
import { contextOf } from '#testing';
import { schedulerTables } from '../../scheduler.definition.ts';
import { viewReconciler } from '../capacity/capacity.reconciler.ts';
import { keepCluster, keepHost } from '../capacity/capacity.store.ts';
import { recount } from './claim.store.ts';
import { PlacementHandlers } from '../placement/placement.handlers.ts';

const GiB = 1024 ** 3;
const clusterId = newUuid();
const cluster = { id: clusterId, siteId: newUuid(), name: 'c', description: '', cpuOvercommit: 25, memoryOvercommit: 1, hosts: 2, vms: 0, number: 1, version: 1, createdAt: '', updatedAt: '' } as unknown as Parameters<typeof keepCluster>[1];
let schema: TestSchema;
let databases: DataSource[];
let replicas: PlacementHandlers[];

function hostOf(name: string, over: Partial<Host> = {}): Host {
  return {
    id: newUuid(), clusterId, name, state: 'connected', maintenance: false, stateSince: '', reason: null, vms: 0, unmanaged: [], number: 1, version: 1, createdAt: '', updatedAt: '',
    inventory: { memoryBytes: 64 * GiB, cpu: { model: 'x', logical: 2, mhz: 1_000 } }, ...over,
  } as Host;
}
const ask = (vmId: string, over: object = {}): InputOf<typeof claimPlacement> =>
  claimPlacement.input.parse({ vmId, clusterId, demand: { vcpus: 1, memoryBytes: GiB / 4 }, ...over });
const ctx = () => contextOf({ system: true, caller: 'compute', idempotencyKey: newUuid() });
const place = (replica: number, vmId: string, over: object = {}) => replicas[replica % 2]!.claim(ask(vmId, over), ctx());

/** Each host's sums and what its claims add up to. */
async function sums(): Promise<{ host: string; said: number; real: number; memorySaid: number; memoryReal: number }[]> {
  const rows = await selectRows<Record<string, string | number>>(databases[0]!, `SELECT name, vcpus_claimed, memory_claimed,
    (SELECT COALESCE(SUM(vcpus), 0) FROM claim WHERE claim.host_id = host_view.host_id) AS vcpus,
    (SELECT COALESCE(SUM(memory_bytes), 0) FROM claim WHERE claim.host_id = host_view.host_id) AS memory FROM host_view ORDER BY name`);
  return rows.map((row) => ({ host: String(row['name']), said: Number(row['vcpus_claimed']), real: Number(row['vcpus']), memorySaid: Number(row['memory_claimed']), memoryReal: Number(row['memory']) }));
}
const expectEqualSums = async (): Promise<void> => {
  for (const { said, real, memorySaid, memoryReal } of await sums()) expect([said, memorySaid]).toEqual([real, memoryReal]);
};

let hosts: Host[];
beforeAll(async () => {
  schema = await makeTestSchema('scheduler');
  const open = () => openDatabase({ url: schema.url, migrations: [...tasksMigrations, ...schedulerTables], name: 'scheduler' });
  databases = [await open(), await open()];
  replicas = databases.map((db) => new PlacementHandlers(db));
});
beforeEach(async () => {
  for (const table of ['claim', 'host_view', 'cluster_view', 'outbox', 'task_command']) await databases[0]!.query(`DELETE FROM ${table}`);
  hosts = [hostOf('host1'), hostOf('host2')];
  await transaction(databases[0]!, async (tx) => {
    await keepCluster(tx, cluster);
    for (const host of hosts) await keepHost(tx, host);
  });
});
afterAll(async () => {
  for (const db of databases) await db.destroy();
  await schema.drop();
});

describe('claims', () => {
  it('waits for a host that does not respond and would take the VM, and for no other', async () => {
    const silence = (over: Partial<Host>, ...silent: Host[]) => transaction(databases[0]!, async (tx) => {
      for (const host of silent) await keepHost(tx, { ...host, version: host.version + 1, ...over });
    });
    const [first, second] = hosts as [Host, Host];
    await silence({ state: 'not-responding' }, first);
    expect(orThrow(await place(0, newUuid())).claim.hostId).toBe(second.id);
    const pinned = { confinements: [{ reason: 'pinned', text: 'the request names another host', hostIds: [first.id] }] };
    expect(await place(0, newUuid(), pinned)).toMatchObject({ ok: false, fault: { code: 'HOST_UNREACHABLE', details: { hostId: first.id }, detail: expect.stringMatching(/host1 is not-responding.*would/) } });
    expect(await place(0, newUuid(), { ...pinned, demand: { vcpus: 51, memoryBytes: GiB / 4 } })).toMatchObject({ ok: false, fault: { code: 'NO_CAPACITY' } });
    await silence({ state: 'awaiting' }, { ...first, version: 2 });
    expect(await place(0, newUuid(), pinned)).toMatchObject({ ok: false, fault: { code: 'NO_CAPACITY' } });
    await silence({ state: 'not-responding', maintenance: true }, { ...first, version: 3 });
    expect(await place(0, newUuid(), pinned)).toMatchObject({ ok: false, fault: { code: 'NO_CAPACITY' } });
  });

  it('of five hundred VMs at once for a hundred places, by two replicas: exactly a hundred get one', async () => {
    const answers = await Promise.all(Array.from({ length: 500 }, (_, index) => place(index, newUuid())));
    const codes = Map.groupBy(answers, (answer) => (answer.ok ? 'OK' : answer.fault.code));
    expect([codes.get('OK')?.length, codes.get('NO_CAPACITY')?.length]).toEqual([100, 400]);
    expect(await sums()).toMatchObject([{ said: 50 }, { said: 50 }]);
    await expectEqualSums();
    expect(answers.find((answer) => !answer.ok)).toMatchObject({ fault: { details: { refusals: [{ hostName: expect.any(String), text: expect.any(String) }, {}] } } });
  }, 60_000);

  it('is kept by a VM that claims again, moved when the host no longer fits, and never doubled by two at once', async () => {
    const vmId = newUuid();
    const first = orThrow(await place(0, vmId)).claim;
    expect(orThrow(await place(1, vmId)).claim).toEqual(first);
    await transaction(databases[0]!, (tx) => keepHost(tx, { ...hosts.find((host) => host.id === first.hostId)!, maintenance: true, version: 2 }));
    const moved = orThrow(await place(1, vmId)).claim;
    expect(moved.hostId).not.toBe(first.hostId);
    await expectEqualSums();
    const fresh = newUuid();
    const answers = await Promise.all([place(0, fresh), place(1, fresh), place(0, fresh), place(1, fresh)]);
    for (const answer of answers) if (!answer.ok) expect(answer.fault.code).toBe('BUSY');
    expect(await selectRows(databases[0]!, 'SELECT id FROM claim WHERE vm_id = ?', [fresh])).toHaveLength(1);
    await expectEqualSums();
  });

  it('that fits nowhere is refused, and the one held before stays', async () => {
    const vmId = newUuid();
    const first = orThrow(await place(0, vmId)).claim;
    const answer = await place(0, vmId, { demand: { vcpus: 1, memoryBytes: 1024 * GiB } });
    expect(answer).toMatchObject({ ok: false, fault: { code: 'NO_CAPACITY', details: { refusals: [{ reason: 'memory' }, { reason: 'memory' }] } } });
    expect(orThrow(await replicas[0]!.claims(listClaims.input.parse({ vmId }), ctx())).items).toEqual([first]);
    await expectEqualSums();
  });

  it('is given back once, however often it is released, and both say so to others', async () => {
    const vmId = newUuid();
    orThrow(await place(0, vmId));
    await Promise.all([0, 1, 0, 1].map((replica) => replicas[replica]!.release({ vmId: ask(vmId).vmId }, ctx())));
    expect(await sums()).toMatchObject([{ said: 0 }, { said: 0 }]);
    const events = await selectRows<{ event: string }>(databases[0]!, "SELECT event FROM outbox WHERE subject NOT LIKE '%.audit.%' ORDER BY id");
    expect(events.map(({ event }) => (JSON.parse(event) as { data: { gone: boolean } }).data.gone)).toEqual([false, true]);
  });

  it('with the same key is one claim, whatever happened since', async () => {
    const once = ctx();
    const input = ask(newUuid());
    const first = await replicas[0]!.claim(input, once);
    expect(await replicas[1]!.claim(input, once)).toEqual(first);
  });
});

describe('what is reserved', () => {
  const reserving = (over: object) => ({ demand: { vcpus: 1, memoryBytes: GiB / 4, ...over } });
  const reservedOf = async () => orThrow(await replicas[0]!.capacity(listCapacity.input.parse({ limit: 10 }), ctx())).items.map((item) => [item.cpuReservedMhz, item.memoryReservedBytes / GiB]);
  const resize = (vmId: string, cpuReservedMhz: number, memoryReservedBytes = 0) => replicas[1]!.resize({ vmId: ask(vmId).vmId, cpuReservedMhz, memoryReservedBytes }, ctx());

  it('by forty VMs at once through two replicas is never more than the hosts have, and the refusal says so', async () => {
    const answers = await Promise.all(Array.from({ length: 40 }, (_, index) => place(index, newUuid(), reserving({ cpuReservedMhz: 300 }))));
    // Two hosts of 2,000 MHz: six times 300 on each.
    expect(answers.filter(({ ok: done }) => done)).toHaveLength(12);
    expect(await reservedOf()).toEqual([[1_800, 0], [1_800, 0]]);
    const refused = await place(0, newUuid(), reserving({ cpuReservedMhz: 300 }));
    expect(refused).toMatchObject({ ok: false, fault: { code: 'NO_CAPACITY', details: { refusals: [{ reason: 'cpu-reservation' }, { reason: 'cpu-reservation' }] } } });
    const rest = orThrow(await place(1, newUuid(), reserving({ cpuReservedMhz: 200 }))).claim;
    expect(rest.cpuReservedMhz).toBe(200);
    orThrow(await place(1, newUuid()));
    await expectEqualSums();
  });

  it('of memory is what the host has for VMs, also where the cluster promises four times as much', async () => {
    await transaction(databases[0]!, (tx) => keepCluster(tx, { ...cluster, memoryOvercommit: 4 }));
    const big = { demand: { vcpus: 1, memoryBytes: 100 * GiB, memoryReservedBytes: 40 * GiB } };
    for (const replica of [0, 1]) orThrow(await place(replica, newUuid(), big));
    expect(await place(0, newUuid(), big)).toMatchObject({ ok: false, fault: { details: { refusals: [{ reason: 'memory-reservation' }, { reason: 'memory-reservation' }] } } });
    orThrow(await place(0, newUuid(), { demand: { vcpus: 1, memoryBytes: 100 * GiB } }));
    expect(await place(0, newUuid(), { demand: { vcpus: 1, memoryBytes: 200 * GiB } })).toMatchObject({ ok: false, fault: { details: { refusals: [{ reason: 'memory' }, { reason: 'memory' }] } } });
  });

  it('is changed where it is: more when there is more, less always, also on a host in maintenance', async () => {
    const vmId = newUuid();
    const first = orThrow(await place(0, vmId, reserving({ cpuReservedMhz: 500 }))).claim;
    const host = hosts.find(({ id }) => id === first.hostId)!;
    await transaction(databases[0]!, (tx) => keepHost(tx, { ...host, maintenance: true, version: 2 }));
    expect(orThrow(await resize(vmId, 2_000, GiB))).toEqual({ ...first, cpuReservedMhz: 2_000, memoryReservedBytes: GiB });
    expect(orThrow(await resize(vmId, 2_000, GiB))).toMatchObject({ id: first.id });
    expect(await resize(vmId, 2_001)).toMatchObject({ ok: false, fault: { code: 'NO_CAPACITY', details: { refusals: [{ hostId: host.id, reason: 'cpu-reservation', text: 'has 2000 MHz of 2000 MHz unreserved, 2001 MHz are to be reserved' }] } } });
    await transaction(databases[0]!, (tx) => keepHost(tx, { ...host, inventory: { ...host.inventory!, memoryBytes: GiB, cpu: { ...host.inventory!.cpu, logical: 1 } }, version: 3 }));
    expect(orThrow(await resize(vmId, 1_500, GiB / 2))).toMatchObject({ cpuReservedMhz: 1_500 });
    await replicas[0]!.release({ vmId: ask(vmId).vmId }, ctx());
    expect(await reservedOf()).toEqual([[0, 0], [0, 0]]);
    expect(await resize(vmId, 1)).toMatchObject({ ok: false, fault: { code: 'NOT_FOUND' } });
  });

  it('is counted anew with the rest when the view is rebuilt', async () => {
    orThrow(await place(0, newUuid(), reserving({ cpuReservedMhz: 700, memoryReservedBytes: GiB })));
    const before = await reservedOf();
    await databases[0]!.query('UPDATE host_view SET cpu_reserved = 0, memory_reserved = 5');
    await transaction(databases[0]!, async (tx) => { for (const { id } of hosts) await recount(tx, id); });
    expect(await reservedOf()).toEqual(before);
  });
});

describe('the view', () => {
  const bus = () => ({
    request: (operation: { name: string }) => Promise.resolve(ok({ items: operation.name === 'compute.cluster.list' ? [cluster] : hosts, next: null })),
  }) as unknown as Parameters<typeof viewReconciler>[1];
  const run = (reconciler: ReturnType<typeof viewReconciler>) => reconciler.run(new AbortController().signal);

  it('is rebuilt from compute after it was emptied, with what is claimed', async () => {
    for (let count = 0; count < 5; count++) orThrow(await place(count, newUuid()));
    const before = await sums();
    await databases[0]!.query('TRUNCATE host_view');
    await databases[0]!.query('TRUNCATE cluster_view');
    expect(await place(0, newUuid())).toMatchObject({ ok: false, fault: { detail: 'No host is registered in the cluster.' } });
    await run(viewReconciler(databases[0]!, bus()));
    expect(await sums()).toEqual(before);
    expect(orThrow(await replicas[0]!.capacity(listCapacity.input.parse({}), ctx())).items.map((item) => item.vcpus)).toEqual([50, 50]);
  });

  it('takes the latest version of a host, whatever comes when, and forgets hosts that are gone', async () => {
    const [first] = hosts as [Host, Host];
    await transaction(databases[0]!, async (tx) => {
      await keepHost(tx, { ...first, state: 'not-responding', version: 3 });
      await keepHost(tx, { ...first, version: 2 });
    });
    const explained = await replicas[0]!.explain(explainPlacement.input.parse({ clusterId, demand: { vcpus: 1, memoryBytes: GiB } }), ctx());
    expect(explained.refusals).toMatchObject([{ hostId: first.id, reason: 'not-connected', text: 'is not-responding' }]);
    hosts = hosts.slice(0, 1);
    await run(viewReconciler(databases[0]!, bus()));
    expect(await sums()).toHaveLength(1);
  });
});
