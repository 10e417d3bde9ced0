// What hosts say, against rows: out of order, from an old boot, about others' VMs, too late, and after a silence.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { hostStatus, hostVmDelete, type HostId, type HostVmStatus, type ReportOrder, type VmId } from '#contracts';
import { selectRows, transaction } from '#database';
import { newUuid, ok, orThrow } from '#kernel';
import type { TaskEngine, TaskKind } from '#tasks';
import { until } from '#testing';
import { startVmTask, type StartInput } from '../vm/power-vm.task.ts';
import { VmWorld, asService, statusOf, uids } from '../vm/vm-world.fixture.ts';
import { buryVm } from '../vm/vm.store.ts';
import { inventoryOf } from './inventory.fixture.ts';
import { hostReconciler } from './host.reconciler.ts';
import { HostReports } from './host.reports.ts';
import { findHost, insertHost } from './host.store.ts';

let world: VmWorld;
let reports: HostReports;
let engine: TaskEngine;
let seq = 100;
/** What the host answers when it is asked; changed by tests. */
let present: HostVmStatus[] = [];
/** Held while set: the answer was written before, and arrives after. */
let hold: Promise<unknown> = Promise.resolve();
let asked = 0;
const forgotten: string[] = [];

const next = (over: Partial<ReportOrder> = {}): ReportOrder => ({ bootId: 'boot-1', epoch: 1, seq: ++seq, ...over });
const inventory = inventoryOf(uids);
const joined = (vms: HostVmStatus[], order = next()) => reports.joined(world.hostId, { order, inventory, vms, unmanaged: [] });
const said = (vm: HostVmStatus, order = next(), hostId: string = world.hostId) => reports.vmChanged(hostId, { order, vm });
const stateOf = async (vmId: string) => (await world.record(vmId))?.vm.status.state;
const hostState = async () => (await findHost(world.scene.db, world.hostId))?.state;

beforeAll(async () => {
  world = await VmWorld.open();
  world.reportsLost = true;
  engine = await world.engine([startVmTask]);
  const { host } = world.bus;
  host.act(hostVmDelete, (input) => {
    forgotten.push(String(input['vmId']));
    return ok({});
  });
  reports = new HostReports(world.scene.db, {
    requestHost: async (hostId, operation, input) => {
      if (operation.name !== hostStatus.name || !host.reachable) return host.take(hostId, operation, input);
      const answer = { inventory, vms: [...present], unmanaged: [] };
      asked += 1;
      await hold;
      return ok(operation.reply.parse(answer)) as Awaited<ReturnType<typeof host.take<typeof operation>>>;
    },
  }, uids, { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined });
});
beforeEach(() => {
  present = [];
  hold = Promise.resolve();
});
afterAll(() => world.close());

describe('a report about a VM', () => {
  it('is believed in its order, once, and the reason of an end is kept', async () => {
    const vmId = await world.vm('running');
    const first = next();
    const second = next();
    await said({ ...statusOf(vmId, 'stopped', 1), exitReason: 'guest-panic', detail: 'oops' }, second);
    await said(statusOf(vmId, 'running', 1), first);
    await said(statusOf(vmId, 'running', 1), second);
    expect((await world.record(vmId))?.vm.status).toMatchObject({ state: 'stopped', reason: 'guest-panic: oops', pid: null });
    await said(statusOf(vmId, 'running', 1), next({ epoch: 0 }));
    expect(await stateOf(vmId)).toBe('stopped');
  });

  it('changes nothing with an epoch that is over, from another host, or from one that is not registered', async () => {
    const vmId = await world.vm('running');
    const other = newUuid() as HostId;
    await transaction(world.scene.db, (tx) => insertHost(tx, { hostId: other, name: `other-${other}`, clusterId: world.clusterId }));
    const before = await world.record(vmId);
    await said(statusOf(vmId, 'stopped', 0));
    await said(statusOf(vmId, 'stopped', 9), next(), other);
    await said(statusOf(vmId, 'stopped', 9), next(), newUuid());
    await reports.joined(newUuid(), { order: next(), inventory, vms: [statusOf(vmId, 'stopped', 9)], unmanaged: [] });
    expect(await world.record(vmId)).toEqual(before);
  });

  it('of an old boot changes nothing, and the new one counts from its beginning', async () => {
    const vmId = await world.vm('running');
    present = [statusOf(vmId, 'running', 1)];
    await joined(present, next());
    await joined([statusOf(vmId, 'stopped', 1)], { bootId: 'boot-2', epoch: 2, seq: 1 });
    present = [statusOf(vmId, 'stopped', 1)];
    expect(await stateOf(vmId)).toBe('stopped');
    await said(statusOf(vmId, 'running', 1), next());
    await joined([statusOf(vmId, 'running', 1)], next({ epoch: 9 }));
    expect(await stateOf(vmId)).toBe('stopped');
    await said(statusOf(vmId, 'running', 1), { bootId: 'boot-2', epoch: 2, seq: 2 });
    expect(await stateOf(vmId)).toBe('running');
    await transaction(world.scene.db, (tx) => tx.query('UPDATE host SET boot_id = NULL, past_boots = NULL'));
  });

  it('while a task works on it leaves the state to the task, and is remembered for its end', async () => {
    const vmId = await world.vm('stopped');
    await transaction(world.scene.db, (tx) => tx.query('UPDATE vm SET task_id = ?, host_id = ?, state = ?, epoch = 1 WHERE id = ?', [newUuid(), world.hostId, 'starting', vmId]));
    await said(statusOf(vmId, 'running', 1));
    expect(await world.record(vmId)).toMatchObject({ hostState: 'running', vm: { status: { state: 'starting', pid: 4711 } } });
    await transaction(world.scene.db, (tx) => buryVm(tx, vmId));
  });
});

describe('an answer of a host', () => {
  it('that was written before a start and arrives after it does not make the VM stopped', async () => {
    const vmId = await world.vm('stopped');
    const late = Promise.withResolvers<undefined>();
    const before = asked;
    hold = late.promise;
    const looking = reports.look(world.hostId);
    await until('the host is asked once more', () => asked > before);
    const { taskId } = orThrow(await world.commands(engine).start({ vmId, discardMemory: false }, asService()));
    await until('the task has succeeded', async () => (await engine.get(taskId))?.state === 'succeeded');
    late.resolve(undefined);
    expect(await looking).toBe(true);
    expect(await stateOf(vmId)).toBe('running');
  });

  it('is asked for again soon when a task kept it from being believed, and no more when all is taken over', async () => {
    const vmId = await world.vm('running');
    const task = (id: string | null) => transaction(world.scene.db, (tx) => tx.query('UPDATE vm SET task_id = ? WHERE id = ?', [id, vmId]));
    await task(newUuid());
    await reports.look(world.hostId);
    expect([await stateOf(vmId), reports.hostsToAskAgain()]).toEqual(['running', [world.hostId]]);
    await task(null);
    await reports.look(world.hostId);
    expect([await stateOf(vmId), reports.hostsToAskAgain()]).toEqual(['stopped', []]);
  });

  it('says which VMs are gone, and a start that ended at once is not shown as running', async () => {
    const gone = await world.vm('running');
    await reports.look(world.hostId);
    expect(await stateOf(gone)).toBe('stopped');
    const vmId = await world.vm('stopped');
    await engine.close();
    const short: TaskKind<StartInput> = {
      ...startVmTask,
      steps: startVmTask.steps.map((step) => (step.name !== 'start-on-host' ? step : {
        ...step,
        run: async (ctx) => {
          const answer = await step.run(ctx);
          await said({ ...statusOf(vmId, 'failed', 1), exitReason: 'qemu-crashed' });
          return answer;
        },
      })),
    };
    const { taskId } = orThrow(await world.commands(await world.engine([short as TaskKind])).start({ vmId, discardMemory: false }, asService()));
    await until('the task has ended', async () => (await world.record(vmId))?.vm.taskId === null);
    expect(await engine.get(taskId)).toMatchObject({ state: 'succeeded' });
    expect((await world.record(vmId))?.vm.status).toMatchObject({ state: 'failed', reason: 'qemu-crashed' });
  });

  it('names directories of VMs that are gone: forgotten when nothing runs in them, left alone when it does, or when the pool has never had them', async () => {
    const [dead, running, living, never] = [await world.vm('stopped'), await world.vm('running'), await world.vm('running'), newUuid()];
    for (const gone of [dead, running]) await transaction(world.scene.db, (tx) => buryVm(tx, gone));
    present = [statusOf(dead, 'stopped', 3), statusOf(running, 'running', 3), statusOf(living, 'running', 1), statusOf(never, 'stopped', 3)];
    await reports.look(world.hostId);
    expect(forgotten).toEqual([dead]);
  });

  it('with a uid range that does not fit keeps the host from joining, and says why', async () => {
    await reports.joined(world.hostId, { order: next(), inventory: { ...inventory, vmUids: { from: 1, to: 2 } }, vms: [], unmanaged: [] });
    await until('the host is connected', async () => (await hostState()) === 'connected'); // the look that follows tells the right range
    const events = await selectRows<{ event: string }>(world.scene.db, "SELECT event FROM outbox WHERE subject LIKE '%host.changed%'");
    expect(events.map(({ event }) => event).join()).toContain('its uid range 1-2 does not cover');
  });
});

describe('a host that falls silent', () => {
  it('leaves its VMs unknown and refused, and all heals when it returns', async () => {
    const vms: VmId[] = [];
    for (let count = 0; count < 3; count++) vms.push(await world.vm('running'));
    const stopped = await world.vm('stopped');
    world.bus.host.reachable = false;
    await transaction(world.scene.db, (tx) => reports.lost(tx, world.hostId));
    await until('all states are unknown', async () => (await Promise.all(vms.map(stateOf))).every((state) => state === 'unknown'));
    expect(await hostState()).toBe('not-responding');
    expect(await stateOf(stopped)).toBe('stopped');
    const commands = world.commands(engine);
    for (const answer of [
      await commands.start({ vmId: vms[0]!, discardMemory: false }, asService()),
      await commands.powerOff({ vmId: vms[0]! }, asService()),
      await commands.delete({ vmId: vms[0]!, force: true, purge: true }, asService()),
    ]) expect(answer).toMatchObject({ ok: false, fault: { code: 'HOST_UNREACHABLE' } });

    world.bus.host.reachable = true;
    present = vms.map((vmId) => statusOf(vmId, 'running', 1));
    await hostReconciler(world.scene.db, reports).run(new AbortController().signal);
    expect(await Promise.all(vms.map(stateOf))).toEqual(['running', 'running', 'running']);
    expect(await hostState()).toBe('connected');
  });

  it('before ha has heard it again is noticed all the same, and one that ha hears is left to ha', async () => {
    const look = () => hostReconciler(world.scene.db, reports).run(new AbortController().signal);
    const lostAndBack = async () => {
      await transaction(world.scene.db, (tx) => reports.lost(tx, world.hostId));
      await look();
      expect(await hostState()).toBe('connected');
    };
    await lostAndBack();
    world.bus.host.reachable = false;
    await look();
    expect(await hostState()).toBe('not-responding');

    world.bus.host.reachable = true;
    await lostAndBack();
    await transaction(world.scene.db, (tx) => reports.heard(tx, world.hostId));
    world.bus.host.reachable = false;
    await look();
    expect(await hostState()).toBe('connected');
    world.bus.host.reachable = true;
  });

  it('of a whole service is made up for as soon as a replica begins: it asks every host, and later each in its turn', async () => {
    const { db } = world.scene;
    const more = Array.from({ length: 11 }, () => newUuid());
    for (const [index, id] of more.entries()) await db.query("INSERT INTO host (id, cluster_id, name, number, state, heartbeat, state_since, created_at, updated_at) SELECT ?, cluster_id, ?, ?, 'connected', 'connected', state_since, created_at, updated_at FROM host WHERE id = ?", [id, `host-${id}`, 500 + index, world.hostId]);
    const asked: string[] = [];
    let again: string[] = [];
    const reconciler = hostReconciler(db, { doubt: () => Promise.resolve(), hostsToAskAgain: () => again, look: (hostId) => Promise.resolve(asked.push(hostId) > 0) });
    const round = async (): Promise<string[]> => {
      await reconciler.run(new AbortController().signal);
      return asked.splice(0).filter((id) => more.includes(id)).sort();
    };
    expect(await round()).toEqual([...more].sort());
    const later = [await round(), await round(), await round(), await round(), await round(), await round()];
    expect(later.every((ids) => ids.length <= 2)).toBe(true);
    expect(later.flat().sort()).toEqual([...more].sort());
    again = more;
    expect(await round()).toEqual([...more].sort());
    await db.query('DELETE FROM host WHERE id IN (?)', [more]);
  });

  it('while a task has just started a VM there leaves that one unknown too', async () => {
    const vmId = await world.vm('running');
    await transaction(world.scene.db, (tx) => tx.query("UPDATE host SET state = 'not-responding' WHERE id = ?", [world.hostId]));
    await reports.doubt();
    expect(await stateOf(vmId)).toBe('unknown');
  });
});
