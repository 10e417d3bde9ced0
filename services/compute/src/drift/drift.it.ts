// Compute's comparisons on the real database, against a host that a test fills: strangers are shown and left alone, VMs that are
// held for nothing are set free, and what is in order is not touched.
import { afterAll, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { hostQemuEnd, hostStatus, hostVmDelete, hostVmPowerOff, type FindingId, type HostVmStatus, type VmId } from '#contracts';
import { driftMigrations, openDatabase, selectRows, tasksMigrations, transaction } from '#database';
import { newUuid, ok } from '#kernel';
import { contextOf, DriftCommands, DriftKeeper, silentTaskLog } from '#testing';
import { computeTables } from '../../compute.definition.ts';
import { inventoryOf } from '../host/inventory.fixture.ts';
import { VmWorld, statusOf, uids } from '../vm/vm-world.fixture.ts';
import { buryVm, changeVm } from '../vm/vm.store.ts';
import { vmsStanding } from '../vm/standing.store.ts';
import { hostDrift } from './host.drift.ts';
import { vmTaskDrift } from './vm-task.drift.ts';

let world: VmWorld;
let keeper: DriftKeeper;
let present: HostVmStatus[] = [];
let strangers: { pid: number; startTicks: number; uuid: string | null; name: string | null; commandLine: string }[] = [];
const carriedOut: string[] = [];

beforeAll(async () => {
  world = await VmWorld.open();
  await (await openDatabase({ url: world.scene.url, migrations: [...tasksMigrations, ...computeTables, ...driftMigrations], name: 'compute' })).destroy();
  const { host } = world.bus;
  host.act(hostStatus, () => ok({ inventory: inventoryOf(uids), vms: present, unmanaged: strangers }));
  for (const operation of [hostQemuEnd, hostVmPowerOff, hostVmDelete]) {
    host.act(operation, (input) => {
      carriedOut.push(`${operation.name} ${String(input['vmId'] ?? input['pid'])}`);
      return ok({});
    });
  }
  keeper = new DriftKeeper({ service: 'compute', db: world.scene.db, log: silentTaskLog, settings: { everyMs: 1_000, keepDays: 30, acts: true } });
  keeper.use([hostDrift(world.scene.db, { requestHost: (hostId, operation, input) => host.take(hostId, operation, input) }), vmTaskDrift(world.scene.db)]);
});
beforeEach(async () => {
  await world.scene.db.query('DELETE FROM drift_finding');
  [present, strangers, carriedOut.length] = [[], [], 0];
});
afterAll(() => world.close());

const look = async (times = 3): Promise<void> => { for (let time = 0; time < times; time++) await keeper.look(new AbortController().signal); };
const found = () => selectRows<{ id: string; kind: string; state: string; object_id: string }>(world.scene.db, 'SELECT id, kind, state, object_id FROM drift_finding ORDER BY kind');
const repair = async (kind: string) => {
  const row = (await found()).find((one) => one.kind === kind);
  return new DriftCommands(keeper).repair({ findingId: row!.id as FindingId, confirm: true }, contextOf({ idempotencyKey: newUuid() }));
};

it('what the pool places on a host, and what is on its way, is in order', async () => {
  const [running, working] = [await world.vm('running'), await world.vm('running')];
  await transaction(world.scene.db, (tx) => changeVm(tx, working, { hostId: null }));
  await world.scene.db.query(`INSERT INTO task (id, kind, object_noun, object_id, state, input, locks, root_task_id, created_at) VALUES (?, 'compute.vm.start', 'vm', ?, 'running', '{}', '[]', ?, UTC_TIMESTAMP(3))`, [newUuid(), working, newUuid()]);
  present = [statusOf(running, 'running', 1), statusOf(working, 'running', 1), statusOf(newUuid(), 'starting', 1)];
  await look(4);
  expect([await found(), carriedOut]).toEqual([[], []]);
});

it('what nobody knows is kept in mind and touched by nobody, until a person says so', async () => {
  const [gone, never] = [await world.vm('running'), newUuid() as VmId];
  await transaction(world.scene.db, (tx) => buryVm(tx, gone));
  present = [statusOf(gone, 'running', 4), statusOf(never, 'stopped', 1)];
  strangers = [{ pid: 4242, startTicks: 17, uuid: null, name: 'stranger', commandLine: 'qemu-system-x86_64 -name stranger' }];
  await look();
  expect((await found()).map(({ kind, state, object_id }) => [kind, state, object_id])).toEqual([['qemu-unknown', 'quarantined', '4242/17'], ['vm-elsewhere', 'quarantined', gone], ['vm-unknown', 'quarantined', never]]);
  expect(carriedOut).toEqual([]);
  for (const kind of ['qemu-unknown', 'vm-elsewhere', 'vm-unknown']) expect(await repair(kind)).toMatchObject({ ok: true, value: { state: 'repaired' } });
  expect(carriedOut).toEqual(['qemu.end 4242', `vm.power-off ${gone}`, `vm.delete ${never}`]);
});

it('a VM that the pool has placed there since is not switched off, whatever the finding says', async () => {
  const vmId = await world.vm('running');
  await transaction(world.scene.db, (tx) => changeVm(tx, vmId, { hostId: null }));
  present = [statusOf(vmId, 'running', 1)];
  await look();
  await transaction(world.scene.db, (tx) => changeVm(tx, vmId, { hostId: world.hostId }));
  expect(await repair('vm-elsewhere')).toMatchObject({ ok: false, fault: { code: 'IN_USE' } });
  expect(carriedOut).toEqual([]);
});

it('of a host that does not answer nothing is said', async () => {
  strangers = [{ pid: 1, startTicks: 1, uuid: null, name: null, commandLine: '' }];
  await look();
  strangers = [];
  world.bus.host.reachable = false;
  await look();
  expect((await found()).map(({ state }) => state)).toEqual(['quarantined']);
  world.bus.host.reachable = true;
  await look(1);
  expect((await found()).map(({ state }) => state)).toEqual(['cleared']);
});

it('a VM that is held for a task which is not there is set free and its host is asked; one whose task is open is not', async () => {
  const [held, working, open] = [await world.vm('running'), await world.vm('stopped'), newUuid()];
  await world.scene.db.query(`INSERT INTO task (id, kind, object_noun, object_id, state, input, locks, root_task_id, created_at) VALUES (?, 'compute.vm.start', 'vm', ?, 'running', '{}', '[]', ?, UTC_TIMESTAMP(3))`, [open, working, open]);
  await transaction(world.scene.db, async (tx) => {
    await changeVm(tx, held, { taskId: newUuid(), state: 'stopping' });
    await changeVm(tx, working, { taskId: open, state: 'starting' });
  });
  await look();
  expect((await world.record(held))?.vm).toMatchObject({ taskId: null, status: { state: 'unknown' } });
  expect((await world.record(working))?.vm).toMatchObject({ taskId: open, status: { state: 'starting' } });
});

it('how VMs stand is told of those that are named, or of all on hosts, page by page', async () => {
  const [running, gone] = [await world.vm('running'), await world.vm('running')];
  await transaction(world.scene.db, (tx) => buryVm(tx, gone));
  expect((await vmsStanding(world.scene.db, { vmIds: [running, gone], limit: 10 })).vms).toMatchObject([{ vmId: running, hostId: world.hostId, state: 'running', demand: { vcpus: 1 } }]);
  const seen: string[] = [];
  for (let after: VmId | undefined; ;) {
    const { vms } = await vmsStanding(world.scene.db, { limit: 1, ...(after === undefined ? {} : { after }) });
    if (vms.length === 0) break;
    seen.push(...vms.map(({ vmId }) => vmId));
    after = vms.at(-1)!.vmId;
  }
  expect([seen.includes(running), seen.includes(gone), new Set(seen).size]).toEqual([true, false, seen.length]);
});
