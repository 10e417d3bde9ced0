// Every kind of task of a VM, put through everything that a task must survive.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { z } from 'zod';
import { createVm, type Task, type TaskRef } from '#contracts';
import { newUuid, orThrow, type Result } from '#kernel';
import type { TaskEngine, TaskKind } from '#tasks';
import { proofs, type Trial } from '#testing';
import { createVmTask } from './create-vm.task.ts';
import { deleteVmTask } from './delete-vm.task.ts';
import { recycleVmTask } from './recycle-vm.task.ts';
import { powerOffVmTask, rebootVmTask, startVmTask, stopVmTask } from './power-vm.task.ts';
import { VmWorld, asService } from './vm-world.fixture.ts';
import type { VmCommands } from './vm.commands.ts';

const MiB = 1024 * 1024;
const nothing = { row: false, volumes: 0, ports: 0, claim: false, host: false, uids: 0, addresses: 0, locks: 0, tombstone: true };
let world: VmWorld;
beforeAll(async () => { world = await VmWorld.open(); });
afterAll(() => world.close());

const begun = (answer: Result<TaskRef>): string => orThrow(answer).taskId;
const creation = (over: Partial<z.input<typeof createVm.input>>) => createVm.input.parse({
  name: `vm-${newUuid()}`, templateId: world.template.id, disks: [{ sizeBytes: 4 * MiB }], nics: [{ portGroupId: newUuid() }, { portGroupId: newUuid() }], ...over,
});

async function gone(task: Task): Promise<void> {
  expect(await world.traces(task.object.id)).toEqual(nothing);
}

/** The VM is its own again, and the row says what the host does. */
async function free(task: Task): Promise<NonNullable<Awaited<ReturnType<VmWorld['record']>>>> {
  await world.heardAll();
  const record = await world.record(task.object.id);
  if (!record) throw new Error('the VM is gone');
  expect(record.vm.taskId).toBeNull();
  expect(await world.traces(task.object.id)).toMatchObject({ locks: 0, volumes: 1, ports: 1, uids: 1, addresses: 1 });
  const runs = world.onHost.get(task.object.id)?.state === 'running';
  expect([task.state, record.vm.status.state]).toEqual([task.state, runs ? 'running' : 'stopped']);
  return record;
}

interface Case {
  readonly kind: TaskKind;
  begin(vms: VmCommands): Promise<string>;
  check(task: Task): Promise<void>;
}

const cases: Readonly<Record<string, Case>> = {
  'create and start': {
    kind: createVmTask,
    begin: async (vms) => begun(await vms.create(creation({}), asService())),
    check: async (task) => {
      await world.heardAll();
      if (task.state !== 'succeeded') return gone(task);
      const vm = (await world.record(task.object.id))!.vm;
      expect(vm).toMatchObject({ taskId: null, status: { state: 'running', hostId: world.hostId, pid: 4711 } });
      expect(vm.spec.disks.map((disk) => disk.sizeBytes)).toEqual([8 * MiB, 4 * MiB]);
      expect(await world.traces(vm.id)).toMatchObject({ volumes: 2, ports: 2, claim: true, host: true, uids: 1, addresses: 2, locks: 0 });
    },
  },
  'create without starting': {
    kind: createVmTask,
    begin: async (vms) => begun(await vms.create(creation({ start: false, nics: [] }), asService())),
    check: async (task) => {
      if (task.state !== 'succeeded') return gone(task);
      expect((await world.record(task.object.id))!.vm).toMatchObject({ taskId: null, status: { state: 'stopped', hostId: null, epoch: 0 } });
      expect(await world.traces(task.object.id)).toMatchObject({ volumes: 2, ports: 0, claim: false, host: false, uids: 1, locks: 0 });
    },
  },
  start: {
    kind: startVmTask,
    begin: async (vms) => begun(await vms.start({ vmId: await world.vm('stopped'), discardMemory: false }, asService())),
    check: async (task) => {
      const { vm } = await free(task);
      expect(vm.status.state).toBe(task.state === 'succeeded' ? 'running' : 'stopped');
      expect(await world.traces(vm.id)).toMatchObject({ claim: task.state === 'succeeded', host: task.state === 'succeeded' });
    },
  },
  stop: {
    kind: stopVmTask,
    begin: async (vms) => begun(await vms.stop({ vmId: await world.vm('running'), graceMs: 1_000, force: true }, asService())),
    check: async (task) => {
      const { vm } = await free(task);
      if (task.state === 'succeeded') expect([vm.status.state, world.claims.has(vm.id)]).toEqual(['stopped', false]);
    },
  },
  'power off': {
    kind: powerOffVmTask,
    begin: async (vms) => begun(await vms.powerOff({ vmId: await world.vm('running') }, asService())),
    check: async (task) => {
      const { vm } = await free(task);
      if (task.state === 'succeeded') expect([vm.status.state, world.claims.has(vm.id)]).toEqual(['stopped', false]);
    },
  },
  reboot: {
    kind: rebootVmTask,
    begin: async (vms) => begun(await vms.reboot({ vmId: await world.vm('running'), graceMs: 1_000 }, asService())),
    check: async (task) => {
      const { vm } = await free(task);
      if (task.state === 'succeeded') expect([vm.status.state, vm.status.epoch > 1, world.claims.has(vm.id)]).toEqual(['running', true, true]);
    },
  },
  recycle: {
    kind: recycleVmTask,
    begin: async (vms) => begun(await vms.delete({ vmId: await world.vm('running'), force: true, purge: false }, asService())),
    check: async (task) => {
      if (task.state === 'needs-attention') { expect((await world.record(task.object.id))!.vm).toMatchObject({ taskId: task.id, recycled: null, status: { state: 'failed' } }); return; }
      const { vm } = await free(task);
      expect(vm.recycled !== null).toBe(task.state === 'succeeded');
      if (task.state === 'succeeded') expect([vm.status.state, world.claims.has(vm.id)]).toEqual(['stopped', false]);
    },
  },
  'recycle and keep the disk': {
    kind: recycleVmTask,
    begin: async (vms) => begun(await vms.delete({ vmId: await world.vm('running'), force: true, purge: false, keepDisks: 'all' }, asService())),
    check: async (task) => {
      await world.heardAll();
      const { vm } = (await world.record(task.object.id))!;
      const done = task.state === 'succeeded';
      const stuck = task.state === 'needs-attention';
      // Set free and out of the spec together once the task has succeeded; before its point of no return neither.
      if (!stuck) expect([vm.recycled !== null, vm.spec.disks.length, (await world.traces(vm.id) as { volumes: number }).volumes]).toEqual(done ? [true, 0, 0] : [false, 1, 1]);
      else expect(vm).toMatchObject({ taskId: task.id, status: { state: 'failed' } });
    },
  },
  'delete and keep the disk': {
    kind: deleteVmTask,
    begin: async (vms) => begun(await vms.delete({ vmId: await world.vm('running'), force: true, purge: true, keepDisks: 'all' }, asService())),
    check: async (task) => {
      await world.heardAll();
      if (task.state === 'succeeded') {
        await gone(task);
        expect([...world.free.values()]).toContain(`${(task.object.name ?? '').slice(0, 25)} disk 0`);
      } else if (task.state !== 'needs-attention') await free(task);
    },
  },
  delete: {
    kind: deleteVmTask,
    begin: async (vms) => begun(await vms.delete({ vmId: await world.vm('running'), force: true, purge: true }, asService())),
    check: async (task) => {
      await world.heardAll();
      if (task.state === 'succeeded') return gone(task);
      if (task.state !== 'needs-attention') await free(task);
      else expect((await world.record(task.object.id))!.vm).toMatchObject({ taskId: task.id, status: { state: 'failed' } });
    },
  },
};

describe.each(Object.entries(cases))('%s', (_name, { kind, begin, check }) => {
  const trial: Trial = { kind, get host() { return world.bus.host; }, open: (variant, over) => world.engine([variant], over), begin: (engine: TaskEngine) => begin(world.commands(engine)), check };
  for (const { shows, proof, withinMs } of proofs) it(shows, () => proof(trial), withinMs);
});
