// Changes of a VM's hardware against the real database: what is refused and by whom, what waits for a start and how it
// comes into force, and that a guest which holds a device keeps it.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { BusContext } from '#bus';
import { attachDisk, builtinRoles, createVm, modifyVm, type Actor, type DiskId, type NicId, type PortGroupId, type Right, type Task, type TaskRef, type UserId, type Vm, type VmId, type VolumeId } from '#contracts';
import { FaultError, newUuid, orThrow, type Result } from '#kernel';
import type { TaskEngine, TaskKind } from '#tasks';
import { contextOf, taskEnd } from '#testing';
import { attachDiskTask, attachNicTask } from './attach.task.ts';
import { changeNicTask } from './change-nic.task.ts';
import { detachDiskTask, detachNicTask } from './detach.task.ts';
import type { HardwareCommands } from './hardware.commands.ts';
import { modifyVmTask } from './modify-vm.task.ts';
import { rebootVmTask, startVmTask, stopVmTask } from './power-vm.task.ts';
import { VmWorld, asService } from './vm-world.fixture.ts';
import type { VmCommands } from './vm.commands.ts';

const MiB = 1024 * 1024;
const kinds = [attachDiskTask, attachNicTask, changeNicTask, detachDiskTask, detachNicTask, modifyVmTask, startVmTask, stopVmTask, rebootVmTask] as readonly TaskKind[];
let world: VmWorld;
let engine: TaskEngine;
let hardware: HardwareCommands;
let vms: VmCommands;
beforeAll(async () => {
  world = await VmWorld.open();
  engine = await world.engine(kinds);
  hardware = world.hardware(engine);
  vms = world.commands(engine);
});
afterAll(() => world.close());

const vmOf = async (vmId: string): Promise<Vm> => (await world.record(vmId))!.vm;
async function ended(answer: Promise<Result<TaskRef>>): Promise<Task> {
  const task = await taskEnd(engine, orThrow(await answer).taskId);
  await world.heardAll();
  return task;
}
const codeOf = async (work: Promise<Result<unknown>>): Promise<string> => {
  try {
    const answer = await work;
    return answer.ok ? 'OK' : answer.fault.code;
  } catch (error) {
    if (error instanceof FaultError) return error.fault.code;
    throw error;
  }
};
const loose = (holder: string | null = null): VolumeId => {
  const volumeId = newUuid() as VolumeId;
  world.loose.set(volumeId, holder);
  return volumeId;
};
const disk = (vmId: VmId, over: object) => attachDisk.input.parse({ vmId, ...over });
const portGroupId = newUuid() as PortGroupId;

describe('a device', () => {
  it('that the guest holds stays the VM’s, and the task says why', async () => {
    const vm = await vmOf(await world.vm('running'));
    const [{ diskId }] = vm.spec.disks as [Vm['spec']['disks'][number]];
    world.holds.add(diskId);
    const task = await ended(hardware.detachDisk({ vmId: vm.id, diskId, keep: true, graceMs: 1_000 }, asService()));
    expect(task).toMatchObject({ state: 'failed', error: { code: 'DEVICE_HELD', details: { mountPoints: ['/mnt'] } } });
    expect(await vmOf(vm.id)).toMatchObject({ taskId: null, spec: { disks: vm.spec.disks }, status: { state: 'running', reason: null } });
    world.holds.delete(diskId);
    expect(await ended(hardware.detachDisk({ vmId: vm.id, diskId, keep: true, graceMs: 1_000 }, asService()))).toMatchObject({ state: 'succeeded' });
  });

  it('of a VM that ended while its host was asked changes in the spec alone', async () => {
    const vmId = await world.vm('running');
    const held = engine;
    world.bus.host.reachable = false;
    const { taskId } = orThrow(await hardware.attachDisk(disk(vmId, { sizeBytes: MiB }), asService()));
    world.told(vmId, 'stopped', 1);
    await world.heardAll();
    world.bus.host.reachable = true;
    await held.wake(taskId);
    expect(await taskEnd(engine, taskId)).toMatchObject({ state: 'succeeded', output: { guest: null } });
    expect(await vmOf(vmId)).toMatchObject({ status: { state: 'stopped' }, spec: { disks: [{ slot: 0 }, { slot: 1 }] } });
  }, 30_000);

  it('is refused when it is somebody else’s, not there, or not for a running VM', async () => {
    const [running, stopped] = [await vmOf(await world.vm('running')), await vmOf(await world.vm('stopped'))];
    const starting = await world.vm('stopped');
    await world.scene.db.query("UPDATE vm SET state = 'paused' WHERE id = ?", [starting]);
    const before = await Promise.all([running.id, stopped.id].map(vmOf));
    expect({
      'the volume of another VM': await codeOf(hardware.attachDisk(disk(stopped.id, { volumeId: loose(newUuid()) }), asService())),
      'no such volume': await codeOf(hardware.attachDisk(disk(stopped.id, { volumeId: newUuid() }), asService())),
      'SATA while it runs': await codeOf(hardware.attachDisk(disk(running.id, { sizeBytes: MiB, bus: 'sata' }), asService())),
      'no such disk': await codeOf(hardware.detachDisk({ vmId: stopped.id, diskId: newUuid() as DiskId, keep: true, graceMs: 1_000 }, asService())),
      'no such NIC': await codeOf(hardware.detachNic({ vmId: stopped.id, nicId: newUuid() as NicId, graceMs: 1_000 }, asService())),
      'no such NIC to change': await codeOf(hardware.changeNic({ vmId: stopped.id, nicId: newUuid() as NicId, portGroupId }, asService())),
      'a paused VM': await codeOf(hardware.attachDisk(disk(starting, { sizeBytes: MiB }), asService())),
      'no such VM': await codeOf(hardware.attachNic({ vmId: newUuid() as VmId, portGroupId }, asService())),
    }).toEqual({
      'the volume of another VM': 'IN_USE', 'no such volume': 'NOT_FOUND', 'SATA while it runs': 'WRONG_STATE', 'no such disk': 'NOT_FOUND', 'no such NIC': 'NOT_FOUND',
      'no such NIC to change': 'NOT_FOUND', 'a paused VM': 'WRONG_STATE', 'no such VM': 'NOT_FOUND',
    });
    expect(await Promise.all([running.id, stopped.id].map(vmOf))).toEqual(before);
  });

  it('is taken once when two VMs ask for it at the same time', async () => {
    const volumeId = loose();
    const both = await Promise.all([await world.vm('stopped'), await world.vm('stopped')].map((vmId) => hardware.attachDisk(disk(vmId, { volumeId }), asService())));
    const ends = await Promise.all(both.map((answer) => taskEnd(engine, orThrow(answer).taskId)));
    expect(ends.map(({ state, error }) => [state, error?.code ?? null]).sort()).toEqual([['failed', 'IN_USE'], ['succeeded', null]]);
  });

  it('that was asked for again with the same key is one, and a VM that a task works on takes no other', async () => {
    const vmId = await world.vm('stopped');
    const volumeId = loose();
    const ctx = asService();
    const first = orThrow(await hardware.attachDisk(disk(vmId, { volumeId }), ctx));
    expect(await codeOf(hardware.attachNic({ vmId, portGroupId }, asService()))).toBe('VM_BUSY');
    await taskEnd(engine, first.taskId);
    expect(orThrow(await hardware.attachDisk(disk(vmId, { volumeId }), ctx))).toEqual(first);
    expect((await vmOf(vmId)).spec.disks).toHaveLength(2);
  });
});

describe('limits of a VM that runs', () => {
  const modify = (vmId: VmId, change: object) => ended(hardware.modify(modifyVm.input.parse({ vmId, ...change }), asService()));

  it('are in force at once, and what is no longer reserved is given back', async () => {
    const vmId = await world.vm('running');
    expect(await modify(vmId, { cpuService: { shares: 3000, reservation: 800 }, ha: { priority: 'low' } })).toMatchObject({ state: 'succeeded', output: { pending: [] } });
    expect(world.limits.get(vmId)).toEqual({ kind: 'limits', cpuService: { reservation: 800, shares: 3000, limit: null }, memoryService: { reservation: 0, shares: 1000, limit: null } });
    expect(world.reserved.get(vmId)).toEqual([800, 0]);
    expect(await modify(vmId, { cpuService: { reservation: 200 }, memoryService: { reservation: 64 * MiB } })).toMatchObject({ state: 'succeeded' });
    expect(world.reserved.get(vmId)).toEqual([200, 64 * MiB]);
    expect(await vmOf(vmId)).toMatchObject({ pending: null, spec: { cpuService: { shares: 3000, reservation: 200 } } });
  });

  it('with a reservation that the host cannot hold are refused, with everything as it was', async () => {
    const vmId = await world.vm('running');
    world.roomMhz = 500;
    const { taskId } = orThrow(await hardware.modify(modifyVm.input.parse({ vmId, cpuService: { reservation: 501 }, memoryBytes: 1024 * MiB }), asService()));
    expect(await taskEnd(engine, taskId)).toMatchObject({ state: 'failed', error: { code: 'NO_CAPACITY' } });
    world.roomMhz = Infinity;
    expect(world.limits.has(vmId)).toBe(false);
    expect(await vmOf(vmId)).toMatchObject({ pending: null, taskId: null, spec: { cpuService: { reservation: 0 }, memoryBytes: 512 * MiB }, status: { state: 'running' } });
  });

  it('of one that has just ended are written down for its next start, which claims them', async () => {
    const vmId = await world.vm('running');
    world.onHost.delete(vmId); // the host has nothing of it any more, and has not said so yet
    expect(await modify(vmId, { cpuService: { shares: 50, reservation: 300 } })).toMatchObject({ state: 'succeeded' });
    expect(await vmOf(vmId)).toMatchObject({ spec: { cpuService: { shares: 50, reservation: 300 } } });
  });

  it('change nothing on the host where nothing about them changes', async () => {
    const vmId = await world.vm('running');
    expect(await modify(vmId, { firmware: 'uefi', cpuService: { shares: 1000 } })).toMatchObject({ state: 'succeeded' });
    expect([world.limits.has(vmId), world.reserved.has(vmId)]).toEqual([false, false]);
  });

  it('below what a guest needs are refused, also at its creation', async () => {
    const vmId = await world.vm('running');
    expect(await hardware.modify(modifyVm.input.parse({ vmId, memoryService: { limit: 100 * MiB } }), asService()))
      .toMatchObject({ ok: false, fault: { code: 'INVALID_ARGUMENT', details: { issues: [{ path: 'memoryService.limit', message: expect.stringContaining('134217728') }] } } });
    expect(await vms.create(createVm.input.parse({ name: 'too-small', cpuService: { reservation: 2, limit: 1 } }), asService())).toMatchObject({ ok: false, fault: { code: 'INVALID_ARGUMENT' } });
  });
});

describe('what waits for a start', () => {
  const larger = (vmId: VmId) => ended(hardware.modify(modifyVm.input.parse({ vmId, memoryBytes: 2048 * MiB, cpu: { sockets: 1, cores: 4, threads: 1 } }), asService()));

  it.each(['reboot', 'stop and start'])('comes into force by %s, with QEMU and claim of the new size', async (how) => {
    const vmId = await world.vm('running');
    await larger(vmId);
    expect(await vmOf(vmId)).toMatchObject({ spec: { memoryBytes: 512 * MiB }, pending: { memoryBytes: 2048 * MiB } });
    if (how === 'reboot') await ended(vms.reboot({ vmId, graceMs: 0 }, asService()));
    else {
      await ended(vms.stop({ vmId, graceMs: 0, force: true }, asService()));
      expect((await vmOf(vmId)).pending).not.toBeNull();
      await ended(vms.start({ vmId, discardMemory: false }, asService()));
    }
    expect(await vmOf(vmId)).toMatchObject({ pending: null, spec: { memoryBytes: 2048 * MiB, cpu: { cores: 4 } }, status: { state: 'running' } });
    expect(world.started.get(vmId)).toMatchObject({ memoryBytes: 2048 * MiB, cpu: { cores: 4 } });
  }, 30_000);

  it.each(['reboot', 'start'] as const)('and finds no room is told at the %s, and still waits', async (how) => {
    const vmId = await world.vm('running');
    await larger(vmId);
    if (how === 'start') await ended(vms.stop({ vmId, graceMs: 0, force: true }, asService()));
    world.roomBytes = 1024 * MiB;
    const impatient = await world.engine(kinds.map((kind) => ({ ...kind, steps: kind.steps.map((step) => ({ ...step, retryForMs: 1 })) })));
    const commands = world.commands(impatient);
    const { taskId } = orThrow(how === 'reboot' ? await commands.reboot({ vmId, graceMs: 0 }, asService()) : await commands.start({ vmId, discardMemory: false }, asService()));
    await engine.close();
    expect(await taskEnd(impatient, taskId)).toMatchObject({ state: 'failed', error: { code: 'NO_CAPACITY' } });
    world.roomBytes = Infinity;
    expect(await vmOf(vmId)).toMatchObject({ spec: { memoryBytes: 512 * MiB }, pending: { memoryBytes: 2048 * MiB }, status: { state: 'stopped' } });
    await impatient.close();
    engine = await world.engine(kinds);
    [hardware, vms] = [world.hardware(engine), world.commands(engine)];
  }, 30_000);

  it('can be taken back, and is refused by field where it cannot be', async () => {
    const vmId = await world.vm('running');
    await larger(vmId);
    const { version } = await vmOf(vmId);
    expect(orThrow(await hardware.discardPending({ vmId }, asService()))).toMatchObject({ pending: null, version: version + 1 });
    expect(orThrow(await hardware.discardPending({ vmId }, asService()))).toMatchObject({ pending: null, version: version + 1 });
    expect(await codeOf(hardware.modify(modifyVm.input.parse({ vmId, memoryService: { reservation: 4096 * MiB } }), asService()))).toBe('INVALID_ARGUMENT');
    expect(await codeOf(hardware.modify(modifyVm.input.parse({ vmId, firmware: 'uefi', version }), asService()))).toBe('VERSION_CONFLICT');
    expect(await vmOf(vmId)).toMatchObject({ pending: null, taskId: null });
  });
});

describe('who may change hardware', () => {
  const role = (name: string, scope: Right['scope'], scopeId: string | null): Right => ({ permissions: [...(builtinRoles[name] ?? [])], scope, scopeId });
  const user = (rights: Right[] = []): Actor => ({ userId: newUuid() as UserId, handle: 'u', rights });
  const as = (actor: Actor): BusContext => contextOf({ actor, actorToken: 'token', idempotencyKey: newUuid() });
  const owner = user();
  const people = { owner, stranger: user(), viewer: user([role('viewer', 'site', null)]), elsewhere: user([role('administrator', 'cluster', newUuid())]), admin: user([role('administrator', 'site', null)]) };
  const onVm = { owner: 'OK', stranger: 'NOT_FOUND', viewer: 'PERMISSION_DENIED', elsewhere: 'NOT_FOUND', admin: 'OK' };
  // A port group and a volume are their own owners' to give.
  const onOthers = { ...onVm, owner: 'PERMISSION_DENIED' };

  const operations: Readonly<Record<string, { call(vm: Vm, ctx: BusContext): Promise<Result<unknown>>; expected: Record<string, string> }>> = {
    'attach a new disk': { call: (vm, ctx) => hardware.attachDisk(disk(vm.id, { sizeBytes: MiB }), ctx), expected: onVm },
    'attach a volume': { call: (vm, ctx) => hardware.attachDisk(disk(vm.id, { volumeId: loose() }), ctx), expected: onOthers },
    'detach a disk': { call: (vm, ctx) => hardware.detachDisk({ vmId: vm.id, diskId: vm.spec.disks[0]!.diskId, keep: true, graceMs: 1_000 }, ctx), expected: onVm },
    'attach a NIC': { call: (vm, ctx) => hardware.attachNic({ vmId: vm.id, portGroupId }, ctx), expected: onOthers },
    'change a NIC': { call: (vm, ctx) => hardware.changeNic({ vmId: vm.id, nicId: vm.spec.nics[0]!.nicId, portGroupId }, ctx), expected: onOthers },
    'detach a NIC': { call: (vm, ctx) => hardware.detachNic({ vmId: vm.id, nicId: vm.spec.nics[0]!.nicId, graceMs: 1_000 }, ctx), expected: onVm },
    modify: { call: (vm, ctx) => hardware.modify(modifyVm.input.parse({ vmId: vm.id, firmware: 'uefi' }), ctx), expected: onVm },
    'discard what waits': { call: (vm, ctx) => hardware.discardPending({ vmId: vm.id }, ctx), expected: onVm },
  };
  it.each(Object.keys(operations))('%s', async (name) => {
    const { call, expected } = operations[name]!;
    const answers: Record<string, string> = {};
    for (const [who, actor] of Object.entries(people)) {
      const vm = await vmOf(await world.vm('stopped', { ownerId: owner.userId }));
      answers[who] = await codeOf(call(vm, as(actor)));
      if (answers[who] !== 'OK') expect(await vmOf(vm.id)).toEqual(vm);
    }
    expect(answers).toEqual(expected);
  });
});
