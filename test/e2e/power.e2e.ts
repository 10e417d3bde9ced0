// A VM's power as user and guest see it: asleep and awake on the same and on another host, held still, reset, and stopped
// down the whole chain when the guest obeys nobody.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { getTask, hibernateVm, listVolumes, pauseVm, resetVm, resumeVm, startVm, stopVm } from '#contracts';
import type { Operation, Task, Vm } from '#contracts';
import { eventually } from './eventually.ts';
import { inGuest } from './guest-shell.ts';
import { qemusOf } from './qemu.ts';
import { answersPing, booted, consoleOf, countsOf, deploy, removeOwn, vmOf } from './vms.ts';
import { openWorld } from './world.ts';
import type { World } from './world.ts';

let world: World;
let vm: Vm;
beforeAll(async () => {
  world = await openWorld('power');
  vm = await booted(world, await deploy(world, 'vm'));
}, 120_000);
afterAll(() => removeOwn(world));

const now = async (): Promise<Vm> => (vm = await vmOf(world, vm.id));
const carryOut = (operation: Operation, input: object = {}): Promise<Task> => world.rest.carryOut(operation, { vmId: vm.id, ...input });
const said = async (line: string): Promise<string> => (await inGuest(world, vm, line)).output.trim();
const uptime = async (): Promise<number> => Number((await said('cat /proc/uptime')).split(' ')[0]);
const memories = async () => (await world.rest.ask(listVolumes, { attachedTo: vm.id })).items.filter(({ name }) => name.endsWith('memory'));

describe('a VM that hibernates', () => {
  let before: number;
  it('frees its host, and its memory lies on a datastore', async () => {
    await said('mkdir -p /run/t && echo kept > /run/t/word');
    before = await uptime();
    await carryOut(hibernateVm);
    expect((await now()).status).toMatchObject({ state: 'hibernated', hostId: null, pid: null, saved: { sizeBytes: expect.any(Number) } });
    expect(await qemusOf(world, vm.id)).toEqual([]);
    expect((await memories()).map(({ id }) => id)).toEqual([vm.status.saved!.volumeId]);
    for (const operation of [pauseVm, stopVm, hibernateVm]) expect(await world.rest.refusal(operation, { vmId: vm.id })).toMatchObject({ status: 409, code: 'WRONG_STATE' });
  });

  it('wakes where it was, and the memory is gone from the datastore', async () => {
    await carryOut(startVm);
    expect((await now()).status).toMatchObject({ state: 'running', saved: null, epoch: 2 });
    expect(await said('cat /run/t/word')).toBe('kept');
    expect(await uptime()).toBeGreaterThan(before);
    expect(await consoleOf(world, vm)).not.toMatch(/GUEST-UP[\s\S]*GUEST-UP/);
    expect(await memories()).toEqual([]);
    await answersPing(world, vm);
  });

  it('wakes on another host too, where its counter goes on and its address answers', async () => {
    const home = vm.status.hostId;
    const last = (await eventually('the guest counts', async () => (await countsOf(world, vm)).at(-1))).n;
    await carryOut(hibernateVm);
    const other = world.record.hosts.find(({ id }) => id !== home)!.id;
    await carryOut(startVm, { hostId: other });
    expect((await now()).status).toMatchObject({ state: 'running', hostId: other });
    expect(await said('cat /run/t/word')).toBe('kept');
    const counted = await eventually('the guest counts on', async () => (await countsOf(world, vm)).at(0));
    expect(counted.n).toBeGreaterThan(last);
    expect(await consoleOf(world, vm)).not.toContain('GUEST-UP');
    await answersPing(world, vm);
  }, 90_000);
});

describe('a running guest', () => {
  it('is held still and goes on', async () => {
    const { pid } = vm.status;
    await carryOut(pauseVm);
    expect((await now()).status).toMatchObject({ state: 'paused', pid });
    const counted = (await countsOf(world, vm)).length;
    await carryOut(resumeVm);
    expect((await now()).status).toMatchObject({ state: 'running', pid });
    await eventually('the guest counts on', async () => (await countsOf(world, vm)).length > counted);
    expect(await said('cat /run/t/word')).toBe('kept');
  });

  it('begins anew in the same QEMU when it is reset', async () => {
    const { pid, epoch } = vm.status;
    const { length } = await consoleOf(world, vm);
    await carryOut(resetVm);
    expect((await now()).status).toMatchObject({ state: 'running', pid, epoch });
    await eventually('the guest boots', async () => (await consoleOf(world, vm)).slice(length).includes('GUEST-UP'), { withinMs: 60_000 });
  }, 90_000);
});

it('a guest that obeys neither its agent nor the power button is stopped by the chain, and each wait is a step to be seen', async () => {
  await booted(world, await now());
  await eventually('the guest agent answers', async () => (await now()).status.guestAgent, { withinMs: 60_000 });
  await said("kill $(cat /run/acpid.pid); printf '#!/bin/sh\\n' > /sbin/shutdown; chmod +x /sbin/shutdown");
  const ref = await world.rest.ask(stopVm, { vmId: vm.id, agentWaitMs: 2_000, acpiWaitMs: 2_000 });
  for (const name of ['ask-guest-agent', 'press-power-button']) {
    await eventually(`the task shows ${name}`, async () => (await world.rest.ask(getTask, { taskId: ref.taskId })).steps.some((step) => step.name === name && step.state === 'running'), { everyMs: 50 });
  }
  const task = await world.rest.succeeded(ref);
  const took = (name: string): number => {
    const step = task.steps.find((one) => one.name === name)!;
    return Date.parse(step.endedAt!) - Date.parse(step.startedAt!);
  };
  expect(took('ask-guest-agent')).toBeGreaterThanOrEqual(1_900);
  expect(took('press-power-button')).toBeGreaterThanOrEqual(1_900);
  expect((await now()).status).toMatchObject({ state: 'stopped', pid: null });
  expect(await qemusOf(world, vm.id)).toEqual([]);
}, 120_000);
