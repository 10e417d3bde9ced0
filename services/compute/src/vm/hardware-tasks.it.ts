// Every kind of task that changes a VM's hardware, put through everything that a task must survive, on a VM that runs and
// on one that is stopped.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { PortGroupId, Task, TaskRef, Vm } from '#contracts';
import { newUuid, orThrow, type Result } from '#kernel';
import type { TaskEngine, TaskKind } from '#tasks';
import { proofs, type Trial } from '#testing';
import { attachDiskTask, attachNicTask } from './attach.task.ts';
import { changeNicTask } from './change-nic.task.ts';
import { detachDiskTask, detachNicTask } from './detach.task.ts';
import type { HardwareCommands } from './hardware.commands.ts';
import { modifyVmTask } from './modify-vm.task.ts';
import { VmWorld, asService } from './vm-world.fixture.ts';

const MiB = 1024 * 1024;
let world: VmWorld;
beforeAll(async () => { world = await VmWorld.open(); });
afterAll(() => world.close());

const otherGroup = newUuid() as PortGroupId;
const begun = (answer: Result<TaskRef>): string => orThrow(answer).taskId;
const states = ['stopped', 'running'] as const;
type State = (typeof states)[number];

/** The VM is its own again, and nothing but what `task` was for has changed. */
async function settled(task: Task, state: State): Promise<Vm> {
  await world.heardAll();
  const vm = (await world.record(task.object.id))!.vm;
  if (task.state === 'needs-attention') expect(vm).toMatchObject({ taskId: task.id, status: { state: 'failed' } });
  else expect(vm).toMatchObject({ taskId: null, status: { state, reason: null } });
  const { volumes, ports, locks } = (await world.traces(vm.id)) as { volumes: number; ports: number; locks: number };
  const loose = [...world.loose.values()].filter((holder) => holder === vm.id).length;
  // One that asks for attention has said that a device is gone and not yet whose it is.
  if (task.state !== 'needs-attention') expect([volumes + loose, ports, locks]).toEqual([vm.spec.disks.length, vm.spec.nics.length, 0]);
  const devices = new Set<string>([...vm.spec.disks.map(({ diskId }) => diskId), ...vm.spec.nics.map(({ nicId }) => nicId)]);
  expect([...(world.plugged.get(vm.id) ?? [])].filter((id) => !devices.has(id))).toEqual([]);
  return vm;
}

async function aVm(state: State): Promise<Vm> {
  return (await world.record(await world.vm(state)))!.vm;
}

function looseVolume(): string {
  const volumeId = newUuid();
  world.loose.set(volumeId, null);
  return volumeId;
}

interface Case {
  readonly kind: TaskKind;
  begin(hardware: HardwareCommands, state: State): Promise<string>;
  check(vm: Vm, task: Task, state: State): void;
}
const has = (count: number, task: Task, at: number): number => (task.state === 'succeeded' ? count : at);

const cases: Readonly<Record<string, Case>> = {
  'attach a new disk': {
    kind: attachDiskTask,
    begin: async (hardware, state) => begun(await hardware.attachDisk({ vmId: (await aVm(state)).id, sizeBytes: 4 * MiB, bus: 'virtio', readOnly: false }, asService())),
    check: (vm, task, state) => {
      expect(vm.spec.disks).toHaveLength(has(2, task, 1));
      if (task.state === 'succeeded') expect(vm.spec.disks[1]).toMatchObject({ slot: 1, sizeBytes: 4 * MiB });
      expect(world.plugged.get(vm.id)?.size ?? 0).toBe(state === 'running' && task.state === 'succeeded' ? 1 : 0);
    },
  },
  'attach a volume': {
    kind: attachDiskTask,
    begin: async (hardware, state) => begun(await hardware.attachDisk({ vmId: (await aVm(state)).id, volumeId: looseVolume() as never, bus: 'scsi', readOnly: false }, asService())),
    check: (vm, task) => {
      expect(vm.spec.disks).toHaveLength(has(2, task, 1));
      if (task.state === 'succeeded') expect(vm.spec.disks[1]).toMatchObject({ slot: 0, bus: 'scsi', sizeBytes: 8 * MiB, datastoreId: world.datastoreId });
    },
  },
  'detach a disk that stays': {
    kind: detachDiskTask,
    begin: async (hardware, state) => {
      const vm = await aVm(state);
      if (state === 'running') world.plugged.set(vm.id, new Set([vm.spec.disks[0]!.diskId]));
      return begun(await hardware.detachDisk({ vmId: vm.id, diskId: vm.spec.disks[0]!.diskId, keep: true, graceMs: 1_000 }, asService()));
    },
    check: (vm, task, state) => {
      expect(vm.spec.disks).toHaveLength(['succeeded', 'needs-attention'].includes(task.state) ? 0 : 1);
      if (state === 'running') expect(world.plugged.get(vm.id)?.size).toBe(vm.spec.disks.length);
    },
  },
  'detach a disk and delete it': {
    kind: detachDiskTask,
    begin: async (hardware, state) => {
      const vm = await aVm(state);
      return begun(await hardware.detachDisk({ vmId: vm.id, diskId: vm.spec.disks[0]!.diskId, keep: false, graceMs: 1_000 }, asService()));
    },
    check: (vm, task) => { expect(vm.spec.disks).toHaveLength(['succeeded', 'needs-attention'].includes(task.state) ? 0 : 1); },
  },
  'attach a NIC': {
    kind: attachNicTask,
    begin: async (hardware, state) => begun(await hardware.attachNic({ vmId: (await aVm(state)).id, portGroupId: newUuid() as never }, asService())),
    check: (vm, task) => { expect(vm.spec.nics.map(({ slot }) => slot)).toEqual(task.state === 'succeeded' ? [0, 1] : [0]); },
  },
  'detach a NIC': {
    kind: detachNicTask,
    begin: async (hardware, state) => {
      const vm = await aVm(state);
      return begun(await hardware.detachNic({ vmId: vm.id, nicId: vm.spec.nics[0]!.nicId, graceMs: 1_000 }, asService()));
    },
    check: (vm, task) => { expect(vm.spec.nics).toHaveLength(['succeeded', 'needs-attention'].includes(task.state) ? 0 : 1); },
  },
  'change a NIC': {
    kind: changeNicTask,
    begin: async (hardware, state) => {
      const vm = await aVm(state);
      return begun(await hardware.changeNic({ vmId: vm.id, nicId: vm.spec.nics[0]!.nicId, portGroupId: otherGroup }, asService()));
    },
    check: (vm, task, state) => {
      const [nic] = vm.spec.nics;
      const [port] = world.ports.get(vm.id)!;
      expect([nic!.portGroupId === otherGroup, nic!.ip, nic!.mac]).toEqual([task.state === 'succeeded', port!.ip, port!.mac]);
      expect(port!.portGroupId).toBe(nic!.portGroupId);
      if (state === 'running') expect(world.wired.get(nic!.nicId) ?? nic!.portGroupId).toBe(nic!.portGroupId);
    },
  },
  modify: {
    kind: modifyVmTask,
    begin: async (hardware, state) => begun(await hardware.modify({ vmId: (await aVm(state)).id, memoryBytes: 1024 * MiB, ha: { priority: 'high' } }, asService())),
    check: (vm, task, state) => {
      const done = task.state === 'succeeded';
      expect([vm.spec.ha.priority, vm.spec.memoryBytes, vm.pending]).toEqual([
        done ? 'high' : 'medium', done && state === 'stopped' ? 1024 * MiB : 512 * MiB, done && state === 'running' ? { memoryBytes: 1024 * MiB } : null,
      ]);
    },
  },
  'modify limits': {
    kind: modifyVmTask,
    begin: async (hardware, state) => {
      const vm = await aVm(state);
      if (state === 'running') world.reserved.set(vm.id, [0, 0]);
      return begun(await hardware.modify({ vmId: vm.id, cpuService: { shares: 3000, reservation: 500 }, memoryService: { limit: 256 * MiB, reservation: 64 * MiB } }, asService()));
    },
    check: (vm, task, state) => {
      const done = task.state === 'succeeded';
      const { cpuService, memoryService } = vm.spec;
      expect(vm.pending).toBeNull();
      expect([cpuService, memoryService]).toEqual([
        done ? { reservation: 500, shares: 3000, limit: null } : { reservation: 0, shares: 1000, limit: null },
        done ? { reservation: 64 * MiB, shares: 1000, limit: 256 * MiB } : { reservation: 0, shares: 1000, limit: null },
      ]);
      // What runs, what is reserved and what is written down are one: also after everything that went wrong on the way.
      if (state === 'running') expect(world.reserved.get(vm.id)).toEqual([cpuService.reservation, memoryService.reservation]);
      if (state === 'running') expect(world.limits.get(vm.id) ?? { kind: 'limits', cpuService, memoryService }).toEqual({ kind: 'limits', cpuService, memoryService });
      else expect(world.limits.has(vm.id)).toBe(false);
    },
  },
};

describe.each(Object.entries(cases).flatMap(([name, one]) => states.map((state) => [name, state, one] as const)))('%s, VM %s', (_name, state, { kind, begin, check }) => {
  const trial: Trial = {
    kind, get host() { return world.bus.host; }, open: (variant, over) => world.engine([variant], over), begin: (engine: TaskEngine) => begin(world.hardware(engine), state),
    check: async (task) => check(await settled(task, state), task, state),
  };
  for (const { shows, proof, withinMs } of proofs) it(shows, () => proof(trial), withinMs);
});
