// A VM's TPM and its UEFI's variables through the tasks that make them, keep them and take them away, and what is refused about a TPM.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createVm, modifyVm, type Task, type TaskRef, type Vm } from '#contracts';
import { FaultError, newUuid, ok, orThrow, type Result } from '#kernel';
import type { TaskEngine, TaskKind } from '#tasks';
import { proofs, until, type Trial } from '#testing';
import { createVmTask } from './create-vm.task.ts';
import { deleteVmTask } from './delete-vm.task.ts';
import type { HardwareCommands } from './hardware.commands.ts';
import { hibernateVmTask, wakeVmTask } from './hibernate-vm.task.ts';
import { modifyVmTask } from './modify-vm.task.ts';
import { allOwnVolumesOf, ownKinds, type OwnKind } from './own-volumes.ts';
import { powerOffVmTask, rebootVmTask, startVmTask } from './power-vm.task.ts';
import { recycleVmTask } from './recycle-vm.task.ts';
import type { VmCommands } from './vm.commands.ts';
import type { TpmCase } from './tpm-cases.fixture.ts';
import { VmWorld, asService } from './vm-world.fixture.ts';

let world: VmWorld;
beforeAll(async () => { world = await VmWorld.open(); });
afterAll(() => world.close());

const MiB = 1024 * 1024;
const begun = (answer: Result<TaskRef>): string => orThrow(answer).taskId;
const vmOf = async (id: string): Promise<Vm> => (await world.record(id))!.vm;
const volumesOf = (vmId: string) => [...world.volumes.values()].filter((volume) => volume.vmId === vmId);
const stopped = (tpm: TpmCase) => world.vm('stopped', { tpm });
const start = async (vms: VmCommands, vmId: Vm['id']): Promise<string> => begun(await vms.start({ vmId, discardMemory: false }, asService()));

/** What a VM has at the end of a task beside its disk: these and no others, and each where its row says. */
async function has(task: Task, ...own: readonly OwnKind[]): Promise<Vm> {
  await world.heardAll();
  const vm = await vmOf(task.object.id);
  expect(ownKinds.filter((kind) => vm.status[kind] !== null)).toEqual(own);
  expect(volumesOf(vm.id).map(({ volumeId }) => volumeId).sort()).toEqual([...vm.spec.disks.map(({ volumeId }) => volumeId), ...allOwnVolumesOf(vm)].sort());
  return vm;
}

const cases: Readonly<Record<string, { kind: TaskKind; begin(vms: VmCommands): Promise<string>; check(task: Task): Promise<void> }>> = {
  'the first start with a TPM': {
    kind: startVmTask,
    begin: async (vms) => start(vms, await stopped('asked')),
    check: async (task) => {
      const done = task.state === 'succeeded';
      const vm = await has(task, ...(done ? ownKinds : []));
      if (!done) return;
      expect(world.volumes.get(vm.status.tpm!.volumeId)).toMatchObject({ format: 'raw', sizeBytes: MiB, hostId: world.hostId });
      expect(world.volumes.get(vm.status.uefiVars!.volumeId)).toMatchObject({ format: 'raw', sizeBytes: 2 * MiB, hostId: world.hostId });
      for (const kind of ownKinds) expect(world.started.get(vm.id)![kind]?.volumeId).toBe(vm.status[kind]!.volumeId);
    },
  },
  'a start that takes the TPM away': {
    kind: startVmTask,
    begin: async (vms) => start(vms, await stopped('leaving')),
    check: async (task) => {
      const vm = await vmOf(task.object.id);
      // One that fails after the VM has run without it has deleted the keys; the row then says so.
      await has(task, ...(task.state === 'succeeded' ? ['uefiVars'] as const : vm.status.tpm === null ? [] : ['tpm'] as const));
      if (task.state === 'succeeded') expect([vm.status.tpm, world.started.get(vm.id)!.tpm]).toEqual([null, null]);
    },
  },
  'a reboot that takes a TPM that waited': {
    kind: rebootVmTask,
    begin: async (vms) => begun(await vms.reboot({ vmId: await world.vm('running', { tpm: 'waiting' }), graceMs: 1_000 }, asService())),
    check: async (task) => {
      const done = task.state === 'succeeded';
      const vm = await has(task, ...(done ? ownKinds : []));
      expect([vm.spec.tpm, vm.pending]).toEqual(done ? ['2.0', null] : ['none', { tpm: '2.0' }]);
    },
  },
  'a creation with a TPM': {
    kind: createVmTask,
    begin: async (vms) => begun(await vms.create(createVm.input.parse({ name: `vm-${newUuid()}`, templateId: world.template.id, firmware: 'uefi', tpm: '2.0' }), asService())),
    check: async (task) => {
      if (task.state === 'succeeded') await has(task, ...ownKinds);
      else expect([await world.record(task.object.id), volumesOf(task.object.id)]).toEqual([undefined, []]);
    },
  },
};

describe.each(Object.entries(cases))('%s', (_name, { kind, begin, check }) => {
  const trial: Trial = { kind, get host() { return world.bus.host; }, open: (variant, over) => world.engine([variant], over), begin: (engine: TaskEngine) => begin(world.commands(engine)), check };
  for (const { shows, proof, withinMs } of proofs) it(shows, () => proof(trial), withinMs);
});

describe('a TPM', () => {
  let vms: VmCommands;
  let hardware: HardwareCommands;
  beforeAll(async () => {
    const engine = await world.engine([createVmTask, startVmTask, powerOffVmTask, rebootVmTask, hibernateVmTask, wakeVmTask, deleteVmTask, recycleVmTask, modifyVmTask]);
    [vms, hardware] = [world.commands(engine), world.hardware(engine)];
  }, 30_000);

  const settled = (vmId: string): Promise<Vm> => until('the task ends', async () => {
    const { vm } = (await world.record(vmId))!;
    return vm.taskId === null ? vm : null;
  });
  const codeOf = async (asked: Promise<Result<unknown>>): Promise<string> => {
    try {
      const answer = await asked;
      return answer.ok ? 'OK' : answer.fault.code;
    } catch (error) {
      if (error instanceof FaultError) return error.fault.code;
      throw error;
    }
  };
  const modified = (vmId: string, change: object) => codeOf(hardware.modify(modifyVm.input.parse({ vmId, ...change }), asService()));

  it('with keys is taken away only when that is confirmed, and keeps them until a start', async () => {
    const vmId = await stopped('kept');
    const { tpm } = (await vmOf(vmId)).status;
    expect(await modified(vmId, { tpm: 'none' })).toBe('CONFIRMATION_NEEDED');
    expect(await modified(vmId, { tpm: 'none', forgetTpmKeys: true })).toBe('OK');
    expect(await settled(vmId)).toMatchObject({ spec: { tpm: 'none' }, status: { tpm } });
    expect(await modified(vmId, { tpm: '2.0' })).toBe('OK');
    expect(await settled(vmId)).toMatchObject({ spec: { tpm: '2.0' }, status: { tpm } });
    await start(vms, vmId);
    expect((await settled(vmId)).status).toMatchObject({ state: 'running', tpm });
    expect(await modified(vmId, { tpm: 'none' })).toBe('CONFIRMATION_NEEDED');
    expect(await modified(vmId, { tpm: 'none', forgetTpmKeys: true })).toBe('OK');
    expect(await settled(vmId)).toMatchObject({ spec: { tpm: '2.0' }, pending: { tpm: 'none' }, status: { tpm } });
  });

  it('without keys goes without a word', async () => {
    const vmId = await stopped('asked');
    expect(await modified(vmId, { tpm: 'none' })).toBe('OK');
    expect(await settled(vmId)).toMatchObject({ spec: { tpm: 'none' }, status: { tpm: null } });
  });

  it('needs UEFI, at the creation and afterwards', async () => {
    const bios = (more: object) => codeOf(vms.create(createVm.input.parse({ name: `vm-${newUuid()}`, disks: [{ sizeBytes: MiB }], start: false, ...more }), asService()));
    expect(await bios({ tpm: '2.0' })).toBe('INVALID_ARGUMENT');
    expect(await modified(await world.vm('stopped'), { tpm: '2.0' })).toBe('INVALID_ARGUMENT');
    expect(await modified(await stopped('kept'), { firmware: 'bios' })).toBe('INVALID_ARGUMENT');
  });

  it('is what the template says where the creation does not', async () => {
    const said = { ...world.template.hardware };
    Object.assign(world.template.hardware, { firmware: 'uefi', tpm: '2.0' });
    try {
      for (const [asked, tpm] of [[{}, '2.0'], [{ tpm: 'none' }, 'none']] as const) {
        const { objectId } = orThrow(await vms.create(createVm.input.parse({ name: `vm-${newUuid()}`, templateId: world.template.id, start: false, ...asked }), asService()));
        expect(await settled(objectId)).toMatchObject({ spec: { firmware: 'uefi', tpm }, status: { tpm: null } });
      }
    } finally {
      Object.assign(world.template.hardware, said);
    }
  });

  it('stays with its VM while it sleeps: what waits for a start does not touch it at a wake, and does when the memory is discarded', async () => {
    const vmId = await world.vm('running', { tpm: 'kept' });
    const { tpm } = (await vmOf(vmId)).status;
    expect(await modified(vmId, { tpm: 'none', forgetTpmKeys: true })).toBe('OK');
    await settled(vmId);
    for (const discardMemory of [false, true]) {
      begun(await vms.hibernate({ vmId }, asService()));
      expect((await settled(vmId)).status).toMatchObject({ state: 'hibernated', tpm });
      begun(await vms.start({ vmId, discardMemory }, asService()));
      expect(await settled(vmId)).toMatchObject({ spec: { tpm: discardMemory ? 'none' : '2.0' }, status: { state: 'running', tpm: discardMemory ? null : tpm } });
    }
  });

  it('rests in the recycle bin with its VM, and comes back with it', async () => {
    const vmId = await stopped('kept');
    const { tpm } = (await vmOf(vmId)).status;
    begun(await vms.delete({ vmId, force: false, purge: false }, asService()));
    expect(await settled(vmId)).toMatchObject({ recycled: { at: expect.any(String) }, status: { tpm } });
    orThrow(await vms.restore({ vmId }, asService()));
    await start(vms, vmId);
    expect((await settled(vmId)).status).toMatchObject({ state: 'running', tpm });
    expect(world.started.get(vmId)!.tpm?.volumeId).toBe(tpm!.volumeId);
  });

  it('goes with its VM for good, also when disks stay', async () => {
    const vmId = await stopped('kept');
    begun(await vms.delete({ vmId, force: false, purge: true, keepDisks: 'all' }, asService()));
    await until('it is gone', async () => ((await world.record(vmId)) === undefined ? ok(undefined) : null));
    expect(volumesOf(vmId)).toEqual([]);
  });

  it('is apart from the variables of UEFI, which the first start makes, every other finds, and a BIOS leaves alone', async () => {
    const vmId = await stopped('kept');
    await start(vms, vmId);
    const { uefiVars } = (await settled(vmId)).status;
    expect(world.started.get(vmId)!.uefiVars?.volumeId).toBe(uefiVars!.volumeId);
    for (const [firmware, given] of [['bios', null], ['uefi-secure', uefiVars!.volumeId]] as const) {
      begun(await vms.powerOff({ vmId }, asService()));
      await settled(vmId);
      expect(await modified(vmId, { firmware, tpm: 'none', forgetTpmKeys: true })).toBe('OK');
      await settled(vmId);
      await start(vms, vmId);
      expect((await settled(vmId)).status).toMatchObject({ state: 'running', uefiVars });
      expect(world.started.get(vmId)!.uefiVars?.volumeId ?? null).toBe(given);
    }
    begun(await vms.powerOff({ vmId }, asService()));
    await settled(vmId);
    begun(await vms.delete({ vmId, force: false, purge: true }, asService()));
    await until('it is gone', async () => ((await world.record(vmId)) === undefined ? ok(undefined) : null));
    expect(volumesOf(vmId)).toEqual([]);
  });

  it('is not to be had from a host without swtpm: no placement, and a reboot that says so before it stops the VM', async () => {
    await world.hostHasTpm(false);
    try {
      const asked = await stopped('asked');
      await start(vms, asked);
      expect(await settled(asked)).toMatchObject({ status: { state: 'stopped', tpm: null, reason: expect.stringContaining('swtpm is not installed') } });
      const waiting = await world.vm('running', { tpm: 'waiting' });
      begun(await vms.reboot({ vmId: waiting, graceMs: 1_000 }, asService()));
      expect(await settled(waiting)).toMatchObject({ status: { state: 'running', epoch: 1, reason: expect.stringContaining('swtpm is not installed') } });
      expect([...volumesOf(asked), ...volumesOf(waiting)]).toHaveLength(2);
    } finally {
      await world.hostHasTpm(true);
    }
  });
});
