// Claims by two replicas on one schema: never more than there is, kept or moved, given back once, and rebuilt from nothing.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { DataSource } from 'typeorm';
import { claimPlacement, explainPlacement, listCapacity, listClaims, type Host, type InputOf } from '#contracts';
import { openDatabase, selectRow, selectRows, tasksMigrations, transaction } from '#database';
import { failed, newUuid, ok, orThrow } from '#kernel';
import { makeTestSchema, type TestSchema } from '#testing';
import { contextOf } from '#testing';
import { schedulerMigrations } from '../../migrations/0001-tables.ts';
import { claimReconciler, viewReconciler } from '../capacity/capacity.reconciler.ts';
import { keepCluster, keepHost } from '../capacity/capacity.store.ts';
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
    inventory: { memoryBytes: 64 * GiB, cpu: { model: 'x', logical: 2, mhz: 1 } }, ...over,
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
  const open = () => openDatabase({ url: schema.url, migrations: [...tasksMigrations, ...schedulerMigrations], name: 'scheduler' });
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

describe('the view', () => {
  const bus = (over: { vm?: 'there' | 'gone' | 'unsure' } = {}) => ({
    request: (operation: { name: string }) => Promise.resolve(
      operation.name === 'compute.cluster.list' ? ok({ items: [cluster], next: null })
        : operation.name === 'compute.host.list' ? ok({ items: hosts, next: null })
          : over.vm === 'there' ? ok({}) : failed({ code: over.vm === 'gone' ? 'NOT_FOUND' : 'UNAVAILABLE', detail: '' })),
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

  it('gives back the claims of VMs that are gone, and only of those', async () => {
    const vmId = newUuid();
    orThrow(await place(0, vmId));
    await databases[0]!.query('UPDATE claim SET created_at = UTC_TIMESTAMP(3) - INTERVAL 1 HOUR');
    for (const vm of ['there', 'unsure'] as const) {
      await run(claimReconciler(databases[0]!, bus({ vm })));
      expect(await selectRow(databases[0]!, 'SELECT id FROM claim WHERE vm_id = ?', [vmId])).toBeDefined();
    }
    await run(claimReconciler(databases[0]!, bus({ vm: 'gone' })));
    expect(await selectRow(databases[0]!, 'SELECT id FROM claim WHERE vm_id = ?', [vmId])).toBeUndefined();
    await expectEqualSums();
  });
});
