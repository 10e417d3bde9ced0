// Dry runs of everything that can be done to a VM: the same decisions as in earnest, and not a row, a claim or a command
// more in the world afterwards.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { PlanDraft, type BusContext } from '#bus';
import {
  attachDisk, attachNic, builtinRoles, changeNic, createVm, deleteVm, detachDisk, detachNic, discardPending, hibernateVm, modifyVm, pauseVm, powerOffVm, purgeVm, rebootVm, resetVm, restoreVm, resumeVm, startVm, stopVm, updateVm,
  type Actor, type Operation, type Plan, type PortGroupId, type UserId, type VmId, type VolumeId,
} from '#contracts';
import { selectRows } from '#database';
import { newUuid, orThrow, type Result } from '#kernel';
import type { TaskEngine } from '#tasks';
import { contextOf, until } from '#testing';
import { computeService } from '../../compute.definition.ts';
import { type HardwareCommands } from './hardware.commands.ts';
import { type VmCommands } from './vm.commands.ts';
import { asService, VmWorld } from './vm-world.fixture.ts';

const MiB = 1024 * 1024;
let world: VmWorld;
let engine: TaskEngine;
let vms: VmCommands;
let hardware: HardwareCommands;
beforeAll(async () => {
  world = await VmWorld.open();
  engine = await world.engine(computeService.tasks({} as never));
  [vms, hardware] = [world.commands(engine), world.hardware(engine)];
});
afterAll(() => world.close());

/** Everything that compute and its neighbours keep. */
async function everything(): Promise<string> {
  const tables = await selectRows<{ name: string }>(world.scene.db, 'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY table_name');
  const rows = await Promise.all(tables.map(async ({ name }) => [name, await selectRows(world.scene.db, `SELECT * FROM \`${name}\``)]));
  const around = [world.volumes, world.free, world.ports, world.claims, world.onHost, world.loose, world.tasks].map((map) => [...map]);
  return JSON.stringify([rows, around, world.bus.host.arrived]);
}

const person = (role: 'operator' | 'vm-user'): Actor => ({ userId: newUuid() as UserId, handle: role, rights: [{ permissions: [...builtinRoles[role]!], scope: 'site', scopeId: null }] });

interface Planned { readonly answer: Result<unknown>; readonly plan: Plan }
/** As the bus does it: with a draft and without a key. */
async function ask(operation: Operation, run: (ctx: BusContext) => Promise<Result<unknown>>, actor = person('operator')): Promise<Planned> {
  const dryRun = new PlanDraft();
  const answer = await run(contextOf({ actor, dryRun }));
  if (answer.ok) expect(dryRun.rolledBack).toBe(true);
  return { answer, plan: dryRun.finished(operation, actor, answer.ok ? answer.value : null) };
}

async function leavesNothing<T>(work: () => Promise<T>): Promise<T> {
  const before = await everything();
  const value = await work();
  expect(await everything()).toBe(before);
  return value;
}

const parts = async (vmId: VmId) => {
  const { spec } = (await world.record(vmId))!.vm;
  return { diskId: spec.disks[0]!.diskId, nicId: spec.nics[0]!.nicId };
};
const group = () => newUuid() as PortGroupId;

describe('a dry run', () => {
  it('of a creation tells where it would go, and keeps from others what they may not read', async () => {
    const input = createVm.input.parse({ name: 'web', templateId: world.template.id, nics: [{ portGroupId: newUuid() }] });
    const [seen, hidden] = await leavesNothing(async () => [await ask(createVm, (ctx) => vms.create(input, ctx)), await ask(createVm, (ctx) => vms.create(input, ctx), person('vm-user'))]);
    expect(seen.plan).toMatchObject({ task: 'compute.vm.create', succeeds: true, error: null, result: null });
    expect(seen.plan.checks).toEqual(expect.arrayContaining(['The name "web" is free.', 'You may deploy the template "template".']));
    expect(seen.plan.steps.map(({ name, outlook }) => `${name} ${outlook}`)).toEqual([
      'choose-datastores foreseen', 'place foreseen', 'make-disks-and-ports foreseen', 'record planned', 'start-on-host planned',
    ]);
    const textsOf = (plan: Plan) => plan.steps.find(({ name }) => name === 'place')?.decisions.map(({ text }) => text);
    expect(textsOf(seen.plan)).toEqual(['host1 takes it', 'host2 is full']);
    expect(textsOf(hidden.plan)).toEqual(['host1 takes it']);
    expect(JSON.stringify(seen.plan)).not.toContain('seenWith');
  });

  it('of a creation that finds no room says so as its task would', async () => {
    world.roomBytes = MiB;
    try {
      const { plan } = await leavesNothing(() => ask(createVm, (ctx) => vms.create(createVm.input.parse({ name: 'large', disks: [{ sizeBytes: MiB }], memoryBytes: 64 * MiB }), ctx)));
      expect(plan).toMatchObject({ succeeds: false, error: { code: 'NO_CAPACITY' } });
      expect(plan.steps.map(({ outlook }) => outlook)).toEqual(['foreseen', 'fails', 'planned', 'planned', 'planned']);
    } finally {
      world.roomBytes = Infinity;
    }
  });

  it('may be followed by the command itself, under the same name', async () => {
    const input = createVm.input.parse({ name: 'twice', disks: [{ sizeBytes: MiB }], start: false });
    await ask(createVm, (ctx) => vms.create(input, ctx));
    const { objectId } = orThrow(await vms.create(input, asService()));
    await until('it is made', async () => (await world.record(objectId))?.vm.status.state === 'stopped');
    const again = await leavesNothing(() => ask(createVm, (ctx) => vms.create(input, ctx)));
    expect(again.answer).toMatchObject({ ok: false, fault: { code: 'NAME_TAKEN' } });
  });

  it.each<[string, Operation, 'stopped' | 'running' | 'paused' | 'hibernated', (vmId: VmId, ctx: BusContext) => Promise<Result<unknown>>, string | null]>([
    ['start, stopped', startVm, 'stopped', (vmId, ctx) => vms.start({ vmId, discardMemory: false }, ctx), 'compute.vm.start'],
    ['start, hibernated', startVm, 'hibernated', (vmId, ctx) => vms.start({ vmId, discardMemory: false }, ctx), 'compute.vm.wake'],
    ['stop, running', stopVm, 'running', (vmId, ctx) => vms.stop(stopVm.input.parse({ vmId }), ctx), 'compute.vm.stop'],
    ['poweroff, running', powerOffVm, 'running', (vmId, ctx) => vms.powerOff({ vmId }, ctx), 'compute.vm.power-off'],
    ['reboot, running', rebootVm, 'running', (vmId, ctx) => vms.reboot(rebootVm.input.parse({ vmId }), ctx), 'compute.vm.reboot'],
    ['pause, running', pauseVm, 'running', (vmId, ctx) => vms.pause({ vmId }, ctx), 'compute.vm.pause'],
    ['resume, paused', resumeVm, 'paused', (vmId, ctx) => vms.resume({ vmId }, ctx), 'compute.vm.resume'],
    ['reset, running', resetVm, 'running', (vmId, ctx) => vms.reset({ vmId }, ctx), 'compute.vm.reset'],
    ['hibernate, running', hibernateVm, 'running', (vmId, ctx) => vms.hibernate({ vmId }, ctx), 'compute.vm.hibernate'],
    ['delete, stopped', deleteVm, 'stopped', (vmId, ctx) => vms.delete(deleteVm.input.parse({ vmId }), ctx), 'compute.vm.recycle'],
    ['delete, stopped', deleteVm, 'stopped', (vmId, ctx) => vms.delete(deleteVm.input.parse({ vmId, purge: true, keepDisks: 'all' }), ctx), 'compute.vm.delete'],
    ['update, stopped', updateVm, 'stopped', (vmId, ctx) => vms.update({ vmId, description: 'other' }, ctx), null],
    ['modify, running', modifyVm, 'running', (vmId, ctx) => hardware.modify({ vmId, memoryBytes: 64 * MiB, ha: { priority: 'high' } }, ctx), 'compute.vm.modify'],
    ['discardPending, stopped', discardPending, 'stopped', (vmId, ctx) => hardware.discardPending({ vmId }, ctx), null],
    ['attachDisk, stopped', attachDisk, 'stopped', (vmId, ctx) => hardware.attachDisk(attachDisk.input.parse({ vmId, sizeBytes: MiB }), ctx), 'compute.vm.attach-disk'],
    ['detachDisk, stopped', detachDisk, 'stopped', async (vmId, ctx) => hardware.detachDisk(detachDisk.input.parse({ vmId, diskId: (await parts(vmId)).diskId }), ctx), 'compute.vm.detach-disk'],
    ['attachNic, running', attachNic, 'running', (vmId, ctx) => hardware.attachNic({ vmId, portGroupId: group() }, ctx), 'compute.vm.attach-nic'],
    ['detachNic, running', detachNic, 'running', async (vmId, ctx) => hardware.detachNic(detachNic.input.parse({ vmId, nicId: (await parts(vmId)).nicId }), ctx), 'compute.vm.detach-nic'],
    ['changeNic, running', changeNic, 'running', async (vmId, ctx) => hardware.changeNic({ vmId, nicId: (await parts(vmId)).nicId, portGroupId: group() }, ctx), 'compute.vm.change-nic'],
  ])('of %s leaves nothing', async (_name, operation, state, run, task) => {
    const vmId = await world.vm(state);
    const { answer, plan } = await leavesNothing(() => ask(operation, (ctx) => run(vmId, ctx)));
    expect(answer.ok).toBe(true);
    expect(plan).toMatchObject({ operation: operation.name, task, succeeds: true });
    expect(plan.checks.length).toBeGreaterThan(0);
    expect(plan.steps.length > 0).toBe(task !== null);
  });

  it('of what is done with the recycle bin leaves nothing', async () => {
    const vmId = await world.vm('stopped');
    const binned = orThrow(await vms.delete(deleteVm.input.parse({ vmId }), asService()));
    await until('it is in the bin', async () => (await engine.get(binned.taskId))?.state === 'succeeded');
    const [restored, purged] = await leavesNothing(async () => [await ask(restoreVm, (ctx) => vms.restore({ vmId }, ctx)), await ask(purgeVm, (ctx) => vms.purge({ vmId }, ctx))]);
    expect(restored.plan.result).toMatchObject({ id: vmId, recycled: null });
    expect(purged.plan.decisions.map(({ details }) => details?.['goes'])).toEqual([true, true, true]);
  });

  it('tells what a change does at once and what waits', async () => {
    const { plan } = await ask(modifyVm, async (ctx) => hardware.modify({ vmId: await world.vm('running'), memoryBytes: 64 * MiB, ha: { priority: 'high' } }, ctx));
    expect(plan.decisions.map(({ details }) => [details?.['field'], details?.['takesEffect']])).toEqual([['memoryBytes', 'next-start'], ['ha', 'at-once']]);
  });

  it('tells what goes with a VM and what stays', async () => {
    const { plan } = await ask(deleteVm, async (ctx) => vms.delete(deleteVm.input.parse({ vmId: await world.vm('stopped', { name: 'old' }), purge: true, keepDisks: 'all' }), ctx));
    expect(plan.decisions.map(({ text }) => text)).toEqual(['the VM "old" is gone for good', `disk 0 (1 MiB) stays as the free volume "old disk 0"`, expect.stringMatching(/^02:00:.* are given back$/)]);
  });

  it('is refused with the codes of the command', async () => {
    const [running, stopped] = [await world.vm('running'), await world.vm('stopped')];
    const [strange, nobody] = [newUuid() as VolumeId, newUuid() as VmId];
    const noDisk = newUuid();
    const runs: [Operation, (ctx: BusContext) => Promise<Result<unknown>>][] = [
      [startVm, (ctx) => vms.start({ vmId: running, discardMemory: false }, ctx)],
      [startVm, (ctx) => vms.start({ vmId: nobody, discardMemory: false }, ctx)],
      [updateVm, (ctx) => vms.update({ vmId: stopped, name: 'x', version: 999 }, ctx)],
      [attachDisk, (ctx) => hardware.attachDisk(attachDisk.input.parse({ vmId: stopped, volumeId: strange }), ctx)],
      [deleteVm, (ctx) => vms.delete(deleteVm.input.parse({ vmId: stopped, keepDisks: noDisk }), ctx)],
    ];
    for (const [operation, run] of runs) {
      const dry = await leavesNothing(() => ask(operation, run));
      const real = await run(contextOf({ actor: person('operator'), idempotencyKey: newUuid() }));
      expect(dry.answer).toMatchObject({ ok: false });
      expect(dry.answer).toEqual(real);
    }
  });

  it('meets a task that works on the VM as the command does', async () => {
    const vmId = await world.vm('stopped');
    world.bus.host.reachable = false;
    try {
      const { taskId } = orThrow(await vms.start({ vmId, discardMemory: false }, asService()));
      const { answer } = await ask(startVm, (ctx) => vms.start({ vmId, discardMemory: false }, ctx));
      expect(answer).toMatchObject({ ok: false, fault: { code: 'VM_BUSY', details: { taskId } } });
    } finally {
      world.bus.host.reachable = true;
    }
  });
});
