// Pause, resume, reset, hibernate and wake, put through everything that a task must survive.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { NoCapacity, type Task, type TaskRef } from '#contracts';
import { FaultError, orThrow, type Result } from '#kernel';
import type { TaskEngine, TaskKind } from '#tasks';
import { proofs, taskEnd, until, type Trial } from '#testing';
import { deleteVmTask } from './delete-vm.task.ts';
import { hibernateVmTask, wakeVmTask, type HibernateInput, type WakeInput } from './hibernate-vm.task.ts';
import { pauseVmTask, resetVmTask, resumeVmTask } from './steer-vm.task.ts';
import { VmWorld, asService, savedLike } from './vm-world.fixture.ts';
import type { VmCommands } from './vm.commands.ts';

let world: VmWorld;
beforeAll(async () => { world = await VmWorld.open(); });
afterAll(() => world.close());

const begun = (answer: Result<TaskRef>): string => orThrow(answer).taskId;

/** What the row says, what the host says, and what is kept anywhere. */
async function seen(task: Task): Promise<Record<string, unknown>> {
  await world.heardAll();
  const { vm } = (await world.record(task.object.id))!;
  const { volumes, ports, claim, locks } = await world.traces(vm.id) as Record<string, unknown>;
  return {
    task: task.state, owner: vm.taskId, row: vm.status.state, saved: vm.status.saved !== null, onHost: vm.status.hostId === null ? null : world.onHost.get(vm.id)?.state,
    volumes, ports, claim, locks,
  };
}
const alike = { owner: null, ports: 1, locks: 0 };
const running = { ...alike, row: 'running', onHost: 'running', saved: false, volumes: 1, claim: true };
const paused = { ...alike, row: 'paused', onHost: 'paused', saved: false, volumes: 1, claim: true };
const hibernated = { ...alike, row: 'hibernated', onHost: null, saved: true, volumes: 2, claim: false };
const stuck = { row: 'failed' };

interface Case {
  readonly kind: TaskKind;
  begin(vms: VmCommands): Promise<string>;
  readonly succeeded: object;
  /** Undone: as it was before. */
  readonly before: object;
}

const cases: Readonly<Record<string, Case>> = {
  pause: { kind: pauseVmTask, begin: async (vms) => begun(await vms.pause({ vmId: await world.vm('running') }, asService())), succeeded: paused, before: running },
  resume: { kind: resumeVmTask, begin: async (vms) => begun(await vms.resume({ vmId: await world.vm('paused') }, asService())), succeeded: running, before: paused },
  reset: { kind: resetVmTask, begin: async (vms) => begun(await vms.reset({ vmId: await world.vm('running') }, asService())), succeeded: running, before: running },
  hibernate: { kind: hibernateVmTask, begin: async (vms) => begun(await vms.hibernate({ vmId: await world.vm('running') }, asService())), succeeded: hibernated, before: running },
  wake: { kind: wakeVmTask, begin: async (vms) => begun(await vms.start({ vmId: await world.vm('hibernated'), discardMemory: false }, asService())), succeeded: running, before: hibernated },
  'wake without its memory': {
    kind: wakeVmTask, begin: async (vms) => begun(await vms.start({ vmId: await world.vm('hibernated'), discardMemory: true }, asService())), succeeded: running, before: hibernated,
  },
};

describe.each(Object.entries(cases))('%s', (_name, { kind, begin, succeeded, before }) => {
  const check = async (task: Task): Promise<void> => {
    expect(await seen(task)).toMatchObject(task.state === 'succeeded' ? succeeded : task.state === 'needs-attention' ? stuck : before);
  };
  const trial: Trial = { kind, get host() { return world.bus.host; }, open: (variant, over) => world.engine([variant], over), begin: (engine: TaskEngine) => begin(world.commands(engine)), check };
  for (const { shows, proof, withinMs } of proofs) it(shows, () => proof(trial), withinMs);
});

const steering = { pause: pauseVmTask, resume: resumeVmTask, reset: resetVmTask, hibernate: hibernateVmTask };

it.each(['pause', 'resume', 'reset', 'hibernate'] as const)('%s fails, and needs nobody’s attention, when the guest has died under it', async (name) => {
  const engine = await world.engine([steering[name]]);
  const vmId = await world.vm(name === 'resume' ? 'paused' : 'running');
  world.onHost.set(vmId, { ...world.onHost.get(vmId)!, state: 'failed', pid: null });
  const task = await taskEnd(engine, begun(await world.commands(engine)[name]({ vmId }, asService())));
  expect(task).toMatchObject({ state: 'failed', error: { code: 'WRONG_STATE' } });
  expect(await seen(task)).toMatchObject({ owner: null, locks: 0, volumes: 1, onHost: 'failed' });
  await engine.close();
}, 30_000);

/** A hibernation that fails when the memory has been saved, and finds its host as `finds` says when it goes back. */
const failingHibernation = (finds: (vmId: string) => void): TaskKind<HibernateInput> => ({
  ...hibernateVmTask,
  steps: hibernateVmTask.steps.map((step) => (step.name !== 'let-go' ? step : {
    name: step.name,
    run: (ctx) => {
      finds(ctx.input.vmId);
      return Promise.reject(new FaultError(NoCapacity.fault('no', { refusals: [] })));
    },
  })),
});

// The answer of the host to what it is at may be long in coming: its start takes time, and so does the end of a QEMU.
it.each([
  ['starting', 'paused', {}], ['starting', 'running', {}], ['stopping', 'stopped', { exitReason: 'saved', saved: savedLike }], ['unknown', 'paused', {}],
] as const)('an undone hibernation waits for a host on which the VM is %s, and keeps the memory until it runs', async (state, then, over) => {
  const engine = await world.engine([failingHibernation((id) => { world.onHost.set(id, { ...world.onHost.get(id)!, state, exitReason: null, saved: null }); })]);
  const vmId = await world.vm('running');
  const taskId = begun(await world.commands(engine).hibernate({ vmId }, asService()));
  await until('it waits for the host', async () => (await engine.get(taskId))?.waitsFor?.what.includes(`which is ${state} there`));
  expect(await world.traces(vmId)).toMatchObject({ volumes: 2 });
  world.told(vmId, then, 1, over);
  const task = await taskEnd(engine, taskId);
  expect(task).toMatchObject({ state: 'failed', error: { code: 'NO_CAPACITY' } });
  expect(await seen(task)).toMatchObject(running);
  await engine.close();
}, 30_000);

/** A wake whose guest meets something just before it is let go on. */
const wakingWith = (meets: (vmId: string) => void): TaskKind<WakeInput> => ({
  ...wakeVmTask,
  steps: wakeVmTask.steps.map((step) => (step.name !== 'go-on' ? step : {
    ...step, run: (ctx) => {
      meets(ctx.input.vmId);
      return step.run(ctx);
    },
  })),
});

it('a wake whose guest dies before it goes on leaves the VM hibernated with its memory', async () => {
  const engine = await world.engine([wakingWith((vmId) => { world.onHost.set(vmId, { ...world.onHost.get(vmId)!, state: 'failed', pid: null }); })]);
  const vmId = await world.vm('hibernated');
  const task = await taskEnd(engine, begun(await world.commands(engine).start({ vmId, discardMemory: false }, asService())));
  expect(task).toMatchObject({ state: 'failed', error: { code: 'WRONG_STATE' } });
  expect(await seen(task)).toMatchObject(hibernated);
  await engine.close();
}, 30_000);

it('a wake whose guest went on and died has used its memory up: the VM has failed', async () => {
  const engine = await world.engine([wakingWith((vmId) => { world.endsWhenGoingOn.add(vmId); })]);
  const vmId = await world.vm('hibernated');
  const task = await taskEnd(engine, begun(await world.commands(engine).start({ vmId, discardMemory: false }, asService())));
  expect(task.state).toBe('succeeded');
  expect(await seen(task)).toMatchObject({ owner: null, row: 'failed', saved: false, volumes: 1, locks: 0 });
  await engine.close();
}, 30_000);

it('a hibernated VM is deleted with its memory', async () => {
  const engine = await world.engine([deleteVmTask]);
  const vmId = await world.vm('hibernated');
  expect(await taskEnd(engine, begun(await world.commands(engine).delete({ vmId, force: false, purge: true }, asService())))).toMatchObject({ state: 'succeeded' });
  expect(await world.traces(vmId)).toMatchObject({ volumes: 0, ports: 0, claim: false, tombstone: true });
  await engine.close();
}, 30_000);
