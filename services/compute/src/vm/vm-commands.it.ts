// Commands to VMs against the real database: races, repetitions, wrong states, and who may do what.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { z } from 'zod';
import type { BusContext } from '#bus';
import { builtinRoles, createVm, deleteCluster, getHost, listVms, removeHost, updateCluster, type Actor, type Right, type UserId, type VmId } from '#contracts';
import { selectRow, selectRows, transaction } from '#database';
import { FaultError, newUuid, orThrow } from '#kernel';
import type { TaskEngine, TaskKind } from '#tasks';
import { contextOf, until } from '#testing';
import { ClusterHandlers } from '../cluster/cluster.handlers.ts';
import { HostHandlers } from '../host/host.handlers.ts';
import { createVmTask } from './create-vm.task.ts';
import { deleteVmTask } from './delete-vm.task.ts';
import { hibernateVmTask } from './hibernate-vm.task.ts';
import { powerOffVmTask, rebootVmTask, startVmTask, stopVmTask } from './power-vm.task.ts';
import { pauseVmTask, resetVmTask, resumeVmTask } from './steer-vm.task.ts';
import { VmWorld, asService, uids } from './vm-world.fixture.ts';
import { VmCommands } from './vm.commands.ts';
import { VmHandlers } from './vm.handlers.ts';
import { idleClaimReconciler } from './vm.reconciler.ts';
import { idleStates } from './vm.ts';
import { takeUid } from './vm-uid.store.ts';

const MiB = 1024 * 1024;
const kinds = [createVmTask, startVmTask, stopVmTask, powerOffVmTask, rebootVmTask, pauseVmTask, resumeVmTask, resetVmTask, hibernateVmTask, deleteVmTask] as readonly TaskKind[];
let world: VmWorld;
let engine: TaskEngine;
let vms: VmCommands;
beforeAll(async () => {
  world = await VmWorld.open();
  engine = await world.engine(kinds);
  vms = world.commands(engine);
});
afterAll(() => world.close());

const creation = (over: Partial<z.input<typeof createVm.input>> = {}) => createVm.input.parse({ name: `vm-${newUuid()}`, disks: [{ sizeBytes: MiB }], start: false, ...over });
const codeOf = async (work: Promise<unknown>): Promise<string> => {
  try {
    const answer = await work as { ok?: boolean; fault?: { code: string } };
    return answer.ok === false ? answer.fault?.code ?? '' : 'OK';
  } catch (error) {
    if (error instanceof FaultError) return error.fault.code;
    throw error;
  }
};
async function settled(vmId: string): Promise<void> {
  await until('the task has ended', async () => ((await world.record(vmId))?.vm.taskId ?? null) === null);
  await world.heardAll();
}

describe('creating', () => {
  it('the same key gives one VM and one answer, also when the template has gone since; another body is refused', async () => {
    const ctx = asService();
    const input = creation({ templateId: world.template.id });
    const first = orThrow(await vms.create(input, ctx));
    const away = new VmCommands(world.scene.db, { request: () => Promise.reject(new FaultError({ code: 'UNAVAILABLE', detail: 'away' })) }, engine, uids);
    expect(await codeOf(away.create(creation({ templateId: world.template.id }), asService()))).toBe('UNAVAILABLE');
    expect(orThrow(await vms.create(input, ctx))).toEqual(first);
    expect(await codeOf(vms.create({ ...input, description: 'other' }, ctx))).toBe('IDEMPOTENCY_KEY_REUSED');
    expect(await selectRows(world.scene.db, 'SELECT id FROM vm WHERE name = ?', [input.name])).toHaveLength(1);
    await settled(first.objectId);
  });

  it('one name is given once by two replicas, is free again after a deletion, and leaves no uid of the loser', async () => {
    const second = world.commands(await world.engine(kinds));
    const input = creation();
    const answers = await Promise.all([vms.create(input, asService()), second.create(input, asService()), vms.create(input, asService())]);
    expect(answers.filter(({ ok }) => ok)).toHaveLength(1);
    for (const answer of answers) if (!answer.ok) expect(answer.fault.code).toBe('NAME_TAKEN');
    const vmId = answers.flatMap((answer) => (answer.ok ? [answer.value.objectId] : []))[0] as VmId;
    await settled(vmId);
    const orphans = await selectRows(world.scene.db, 'SELECT uid FROM vm_uid WHERE vm_id IS NOT NULL AND vm_id NOT IN (SELECT id FROM vm)');
    expect(orphans).toEqual([]);
    orThrow(await vms.delete({ vmId, force: false, purge: true }, asService()));
    await settled(vmId);
    const again = orThrow(await vms.create(input, asService()));
    expect(again.objectId).not.toBe(vmId);
    await settled(again.objectId);
  });

  it('a hundred at once get a hundred uids, and a full range says so', async () => {
    const taken = await Promise.all(Array.from({ length: 100 }, () => transaction(world.scene.db, (tx) => takeUid(tx, newUuid(), { first: 300_000, last: 300_099 }))));
    expect(new Set(taken).size).toBe(100);
    expect(taken.every((uid) => uid !== null && uid >= 300_000 && uid <= 300_099)).toBe(true);
    const one = () => transaction(world.scene.db, (tx) => takeUid(tx, newUuid(), { first: 300_000, last: 300_099 }));
    expect(await one()).toBeNull();
    await world.scene.db.query('UPDATE vm_uid SET vm_id = NULL, freed_at = UTC_TIMESTAMP(3) WHERE uid = 300005');
    expect(await one()).toBeNull();
    await world.scene.db.query('UPDATE vm_uid SET freed_at = UTC_TIMESTAMP(3) - INTERVAL 25 HOUR WHERE uid = 300005');
    expect(await one()).toBe(300_005);
  });

  it.each([
    ['an unknown template', { templateId: newUuid() }, 'NOT_FOUND'],
    ['a disk size without template', { diskBytes: 8 * MiB }, 'INVALID_ARGUMENT'],
    ['an unknown host', { hostId: newUuid() }, 'NOT_FOUND'],
    ['an unknown cluster', { clusterId: newUuid() }, 'NOT_FOUND'],
  ])('refuses %s before anything is made', async (_what, over, code) => {
    const input = creation(over);
    expect(await codeOf(vms.create(input, asService()))).toBe(code);
    expect(await selectRow(world.scene.db, 'SELECT id FROM vm WHERE name = ?', [input.name])).toBeUndefined();
  });

  it('refuses a first disk smaller than the template, and makes it larger when asked', async () => {
    expect(await codeOf(vms.create(creation({ templateId: world.template.id, diskBytes: 4 * MiB }), asService()))).toBe('INVALID_ARGUMENT');
    const { objectId } = orThrow(await vms.create(creation({ templateId: world.template.id, diskBytes: 16 * MiB, deploy: 'linked' }), asService()));
    await settled(objectId);
    const [disk] = (await world.record(objectId))!.vm.spec.disks;
    expect(world.volumes.get(disk!.volumeId)).toMatchObject({ sizeBytes: 16 * MiB, source: { volumeId: world.template.volumeId, mode: 'linked' } });
  });
});

describe('power', () => {
  it('is refused in the wrong state, while a task works, and for what is not there', async () => {
    const vmId = await world.vm('stopped');
    expect(await codeOf(vms.stop({ vmId, graceMs: 0, force: true }, asService()))).toBe('WRONG_STATE');
    expect(await codeOf(vms.start({ vmId: newUuid() as VmId, discardMemory: false }, asService()))).toBe('NOT_FOUND');
    const [one, two] = await Promise.all([vms.start({ vmId, discardMemory: false }, asService()), vms.start({ vmId, discardMemory: false }, asService())]);
    expect([one, two].filter(({ ok }) => ok)).toHaveLength(1);
    expect([one, two].find(({ ok }) => !ok)).toMatchObject({ fault: { code: 'VM_BUSY' } });
    await settled(vmId);
    expect(await codeOf(vms.delete({ vmId, force: false, purge: true }, asService()))).toBe('WRONG_STATE');
    expect((await world.record(vmId))?.vm.status.state).toBe('running');
  });

  it('a guest that stays up and no force: the task fails and the VM runs on, free', async () => {
    const vmId = await world.vm('running');
    const { taskId } = orThrow(await vms.stop({ vmId, graceMs: 0, force: false }, asService()));
    await settled(vmId);
    expect(await engine.get(taskId)).toMatchObject({ state: 'failed', error: { code: 'WRONG_STATE' } });
    expect((await world.record(vmId))?.vm.status).toMatchObject({ state: 'running' });
  });

  it('a host that goes silent under a start is waited for, and nothing is left when it returns', async () => {
    const impatient = await world.engine(kinds, { retryForMs: 100 });
    const vmId = await world.vm('stopped');
    world.bus.host.reachable = false;
    const { taskId } = orThrow(await world.commands(impatient).start({ vmId, discardMemory: false }, asService()));
    await until('it waits for the host', async () => (await impatient.get(taskId))?.waitsFor?.what === 'the host to respond');
    world.bus.host.reachable = true;
    await impatient.wake(taskId);
    await settled(vmId);
    expect(await impatient.get(taskId)).toMatchObject({ state: 'failed', error: { code: 'HOST_UNREACHABLE' } });
    expect(await world.traces(vmId)).toMatchObject({ host: false, claim: false, locks: 0 });
    expect((await world.record(vmId))?.vm.status.state).toBe('stopped');
  }, 30_000);

  it.each(idleStates)('a scheduler that is away holds nothing up, and what a VM that came to be %s did not give back is given back later', async (state) => {
    const vmId = await world.vm(state === 'hibernated' ? state : 'stopped');
    await world.scene.db.query('UPDATE vm SET state = ?, claim_held = 1 WHERE id = ?', [state, vmId]);
    const run = (ok: boolean) => idleClaimReconciler(world.scene.db, { request: (operation, input, options) => (ok
      ? world.bus.of('compute').request(operation, input, options) : Promise.resolve({ ok: false as const, fault: { code: 'UNAVAILABLE', detail: 'away' } })) }).run(new AbortController().signal);
    await run(false);
    expect((await world.record(vmId))?.claimHeld).toBe(true);
    await run(true);
    expect((await world.record(vmId))?.claimHeld).toBe(false);
  });
});

describe('who may do what', () => {
  const role = (name: string, scope: Right['scope'], scopeId: string | null): Right => ({ permissions: [...(builtinRoles[name] ?? [])], scope, scopeId });
  const user = (rights: Right[] = []): Actor => ({ userId: newUuid() as UserId, handle: 'u', rights });
  const as = (actor: Actor): BusContext => contextOf({ actor, actorToken: 'token', idempotencyKey: newUuid() });
  let handlers: VmHandlers;
  let hosts: HostHandlers;
  let clusters: ClusterHandlers;
  const owner = user();
  let people: Record<string, Actor>;
  beforeAll(() => {
    handlers = new VmHandlers(vms, world.scene.db);
    hosts = new HostHandlers(world.scene.db, world.reports());
    clusters = new ClusterHandlers(world.scene.db);
    people = {
      owner, stranger: user(), viewer: user([role('viewer', 'site', null)]), elsewhere: user([role('administrator', 'cluster', newUuid())]),
      cluster: user([role('vm-user', 'cluster', world.clusterId)]), admin: user([role('administrator', 'site', null)]),
    };
  });

  const everyone = ['owner', 'stranger', 'viewer', 'elsewhere', 'cluster', 'admin'];
  const onVm = { owner: 'OK', stranger: 'NOT_FOUND', viewer: 'PERMISSION_DENIED', elsewhere: 'NOT_FOUND', cluster: 'OK', admin: 'OK' };
  const operations: Readonly<Record<string, { state: 'stopped' | 'running' | 'paused'; call(vmId: VmId, ctx: BusContext): Promise<unknown>; expected: Record<string, string> }>> = {
    get: { state: 'stopped', call: (vmId, ctx) => handlers.get({ vmId }, ctx), expected: { ...onVm, viewer: 'OK' } },
    update: { state: 'stopped', call: (vmId, ctx) => handlers.update({ vmId, description: 'new' }, ctx), expected: onVm },
    start: { state: 'stopped', call: (vmId, ctx) => handlers.start({ vmId, discardMemory: false }, ctx), expected: onVm },
    stop: { state: 'running', call: (vmId, ctx) => handlers.stop({ vmId, graceMs: 0, force: true }, ctx), expected: onVm },
    'power-off': { state: 'running', call: (vmId, ctx) => handlers.powerOff({ vmId }, ctx), expected: onVm },
    pause: { state: 'running', call: (vmId, ctx) => handlers.pause({ vmId }, ctx), expected: onVm },
    resume: { state: 'paused', call: (vmId, ctx) => handlers.resume({ vmId }, ctx), expected: onVm },
    reset: { state: 'running', call: (vmId, ctx) => handlers.reset({ vmId }, ctx), expected: onVm },
    hibernate: { state: 'running', call: (vmId, ctx) => handlers.hibernate({ vmId }, ctx), expected: onVm },
    reboot: { state: 'running', call: (vmId, ctx) => handlers.reboot({ vmId, graceMs: 0 }, ctx), expected: onVm },
    delete: { state: 'stopped', call: (vmId, ctx) => handlers.delete({ vmId, force: false, purge: true }, ctx), expected: onVm },
  };
  it.each(Object.keys(operations))('%s of a VM', async (name) => {
    const { state, call, expected } = operations[name]!;
    const answers: Record<string, string> = {};
    for (const who of everyone) {
      const vmId = await world.vm(state, { ownerId: owner.userId });
      const before = await world.record(vmId);
      answers[who] = await codeOf(call(vmId, as(people[who]!)));
      if (answers[who] !== 'OK') expect(await world.record(vmId)).toEqual(before);
      else await settled(vmId);
    }
    expect(answers).toEqual(expected);
  }, 30_000);

  it('lists hide what one may not see', async () => {
    const vmId = await world.vm('stopped', { ownerId: owner.userId, name: 'only this' });
    const seen: Record<string, boolean> = {};
    for (const who of everyone) {
      const page = orThrow(await handlers.list(listVms.input.parse({ name: 'only this' }), as(people[who]!)));
      seen[who] = page.items.some((vm) => vm.id === vmId);
    }
    expect(seen).toEqual({ owner: true, stranger: false, viewer: true, elsewhere: false, cluster: true, admin: true });
  });

  it('creation needs the right in the cluster or folder', async () => {
    const answers: Record<string, string> = {};
    for (const who of everyone) answers[who] = await codeOf(vms.create(creation(), as(people[who]!)));
    expect(answers).toEqual({ owner: 'PERMISSION_DENIED', stranger: 'PERMISSION_DENIED', viewer: 'PERMISSION_DENIED', elsewhere: 'PERMISSION_DENIED', cluster: 'OK', admin: 'OK' });
  });

  it('hosts and clusters', async () => {
    const { hostId, clusterId } = world as { hostId: typeof world.hostId; clusterId: string };
    const cluster = updateCluster.input.parse({ clusterId, description: 'x' });
    const table: [string, (ctx: BusContext) => Promise<unknown>, string[]][] = [
      ['host.get', (ctx) => hosts.get(getHost.input.parse({ hostId }), ctx), ['NOT_FOUND', 'NOT_FOUND', 'OK', 'NOT_FOUND', 'NOT_FOUND', 'OK']],
      ['host.update', (ctx) => hosts.update({ hostId, maintenance: false }, ctx), ['NOT_FOUND', 'NOT_FOUND', 'PERMISSION_DENIED', 'NOT_FOUND', 'NOT_FOUND', 'OK']],
      ['host.delete', (ctx) => hosts.remove(removeHost.input.parse({ hostId }), ctx), ['NOT_FOUND', 'NOT_FOUND', 'PERMISSION_DENIED', 'NOT_FOUND', 'NOT_FOUND', 'IN_USE']],
      ['cluster.get', (ctx) => clusters.get({ clusterId: cluster.clusterId }, ctx), ['NOT_FOUND', 'NOT_FOUND', 'OK', 'NOT_FOUND', 'OK', 'OK']],
      ['cluster.update', (ctx) => clusters.update(cluster, ctx), ['NOT_FOUND', 'NOT_FOUND', 'PERMISSION_DENIED', 'NOT_FOUND', 'PERMISSION_DENIED', 'OK']],
      ['cluster.delete', (ctx) => clusters.delete(deleteCluster.input.parse({ clusterId }), ctx), ['NOT_FOUND', 'NOT_FOUND', 'PERMISSION_DENIED', 'NOT_FOUND', 'PERMISSION_DENIED', 'IN_USE']],
    ];
    for (const [name, call, expected] of table) {
      const answers: string[] = [];
      for (const who of everyone) answers.push(await codeOf(call(as(people[who]!))));
      expect([name, ...answers]).toEqual([name, ...expected]);
    }
  });
});

describe('a change', () => {
  it('with an old version is refused, and of two at once with the same version one wins', async () => {
    const vmId = await world.vm('stopped');
    const { version } = (await world.record(vmId))!.vm;
    const answers = await Promise.all(['a', 'b'].map((description) => vms.update({ vmId, description, version }, asService())));
    expect(answers.filter(({ ok }) => ok)).toHaveLength(1);
    expect(answers.find(({ ok }) => !ok)).toMatchObject({ fault: { code: 'VERSION_CONFLICT', details: { expected: version, actual: version + 1 } } });
    const other = await world.vm('stopped', { name: `taken-${vmId}` });
    expect(await codeOf(vms.update({ vmId: other, name: `vm-${vmId}` }, asService()))).toBe('NAME_TAKEN');
  });
});
