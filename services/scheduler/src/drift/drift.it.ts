// Claims against VMs on the real database: what nobody needs is given back, what runs is counted, the sums stay right, and what
// compute cannot say for sure changes nothing.
import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import type { DataSource } from 'typeorm';
import { Unavailable, type Host, type HostId, type StandingVm, type VmId } from '#contracts';
import { driftMigrations, openDatabase, selectRow, selectRows, tasksMigrations, transaction } from '#database';
import { newUuid, ok } from '#kernel';
import { DriftKeeper, makeTestSchema, silentTaskLog, type TestSchema } from '#testing';
import { schedulerTables } from '../../scheduler.definition.ts';
import { keepHost } from '../capacity/capacity.store.ts';
import { takeClaim } from '../claim/claim.store.ts';
import { claimDrift } from './claim.drift.ts';

const GiB = 1024 ** 3;
const demand = { vcpus: 1, memoryBytes: GiB / 2, cpuReservedMhz: 0, memoryReservedBytes: 0 };
const hostId = newUuid() as HostId;
let schema: TestSchema;
let db: DataSource;
let keeper: DriftKeeper;
let vms: StandingVm[] = [];
let answers = true;

beforeAll(async () => {
  schema = await makeTestSchema('scheduler');
  db = await openDatabase({ url: schema.url, migrations: [...tasksMigrations, ...schedulerTables, ...driftMigrations], name: 'scheduler' });
  keeper = new DriftKeeper({ service: 'scheduler', db, log: silentTaskLog, settings: { everyMs: 1_000, keepDays: 30, acts: true } });
  const request = (_operation: unknown, { vmIds, after }: { vmIds?: string[]; after?: string }) =>
    Promise.resolve(answers ? ok({ vms: vms.filter((vm) => (vmIds === undefined ? vm.hostId !== null && after === undefined : vmIds.includes(vm.vmId))) }) : Unavailable.fail('away', { service: 'compute' }));
  keeper.use([claimDrift(db, { request } as unknown as Parameters<typeof claimDrift>[1])]);
});
beforeEach(async () => {
  for (const table of ['claim', 'host_view', 'drift_finding', 'outbox']) await db.query(`DELETE FROM ${table}`);
  [vms, answers] = [[], true];
  await transaction(db, (tx) => keepHost(tx, {
    id: hostId, clusterId: newUuid(), name: 'host1', state: 'connected', maintenance: false, version: 1, inventory: { memoryBytes: 4 * GiB, cpu: { model: 'x', logical: 4, mhz: 1_000 } },
  } as unknown as Host));
});
afterAll(async () => {
  await db.destroy();
  await schema.drop();
});

const look = async (times = 3): Promise<void> => { for (let time = 0; time < times; time++) await keeper.look(new AbortController().signal); };
const vm = (over: Partial<StandingVm> = {}): StandingVm => ({ vmId: newUuid() as VmId, name: 'x', hostId, state: 'running', taskId: null, claimHeld: true, demand, version: 1, ...over });
const claimed = async (): Promise<string[]> => (await selectRows<{ vm_id: string }>(db, 'SELECT vm_id FROM claim ORDER BY vm_id')).map(({ vm_id }) => vm_id);
const claim = (vmId: string) => transaction(db, (tx) => takeClaim(tx, hostId, vmId, demand));
const sums = async () => Number((await selectRow<{ n: number }>(db, 'SELECT vcpus_claimed AS n FROM host_view'))?.n);

it('claims of VMs that are gone or at rest are given back, and only those', async () => {
  const [running, working] = [vm(), vm({ state: 'stopped', taskId: newUuid() as StandingVm['taskId'], claimHeld: false })];
  vms = [running, working, vm({ state: 'stopped', claimHeld: false })];
  for (const { vmId } of vms) await claim(vmId);
  await claim(newUuid());
  answers = false;
  await look();
  expect(await claimed()).toHaveLength(4);
  answers = true;
  await look();
  expect([await claimed(), await sums()]).toEqual([[running.vmId, working.vmId].sort(), 2]);
});

it('a VM that runs uncounted is counted where it runs, as far as there is room', async () => {
  vms = [vm(), vm(), vm(), vm({ demand: { ...demand, memoryBytes: 64 * GiB } })];
  await look();
  expect([(await claimed()).length, await sums()]).toEqual([3, 3]);
  expect(await selectRows(db, "SELECT state, reason FROM drift_finding WHERE state <> 'repaired'")).toMatchObject([{ state: 'found', reason: expect.stringContaining('no room') }]);
});

it('what changes between the looks is left alone', async () => {
  for (let version = 0; version < 4; version++) {
    vms = [vm({ version }), vm({ state: version % 2 === 0 ? 'running' : 'stopped' })];
    await look(1);
  }
  expect([await claimed(), await selectRows(db, 'SELECT id FROM drift_finding')]).toEqual([[], []]);
});
