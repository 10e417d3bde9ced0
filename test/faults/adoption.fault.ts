// An agent that is killed leaves its guests alone and finds them again; a QEMU that the pool did not start is shown and
// left alone.
import { randomUUID } from 'node:crypto';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { getHost, stopVm } from '#contracts';
import type { Host, Vm } from '#contracts';
import { eventually } from '../e2e/eventually.ts';
import { agentName, crash, inside, startAgain, waitReady } from '../e2e/lab.mjs';
import { qemusOf, qemusOn } from '../e2e/qemu.ts';
import { Refusal } from '../e2e/rest.ts';
import { answersPing, booted, consoleOf, countsOf, deploy, removeOwn, vmOf } from '../e2e/vms.ts';
import { openWorld } from '../e2e/world.ts';
import type { World } from '../e2e/world.ts';

let world: World;
let vms: Vm[];
let stranger: ChildProcess;
const strangersUuid = randomUUID();

const home = () => world.record.hosts[0]!;
const host = (): Promise<Host> => world.rest.ask(getHost, { hostId: home().id });

beforeAll(async () => {
  world = await openWorld('adopt');
  vms = await Promise.all(['a', 'b', 'c'].map(async (name) => booted(world, await deploy(world, name, { hostId: home().id }))));
  const [command, ...args] = inside(home().namespace, ['qemu-system-x86_64', '-accel', 'tcg', '-m', '16', '-nodefaults', '-display', 'none', '-net', 'none', '-S', '-name', 'stranger', '-uuid', strangersUuid]);
  stranger = spawn(command!, args, { stdio: 'ignore' });
}, 180_000);
afterAll(async () => {
  stranger.kill('SIGKILL');
  await removeOwn(world);
  await waitReady(world.lab);
});

const pids = (): Promise<number[][]> => Promise.all(vms.map(async (vm) => (await qemusOf(world, vm.id)).map(({ pid }) => pid)));
const uptimes = (): Promise<number[]> => Promise.all(vms.map(async (vm) => (await countsOf(world, vm)).at(-1)!.uptime));

/** The host says that it sees exactly these processes run the VMs. */
async function allSeen(expected: readonly number[][]): Promise<boolean> {
  const seen = await Promise.all(vms.map((vm) => vmOf(world, vm.id)));
  return seen.every(({ status }, index) => status.state === 'running' && status.pid === expected[index]![0]) && (await host()).state === 'connected';
}

describe('F1: the agent is killed with three VMs running', () => {
  it('no guest notices, and all are adopted within five seconds of its start', async () => {
    const before = { pids: await pids(), uptimes: await uptimes(), boots: await boots() };
    expect(before.pids.map((list) => list.length)).toEqual([1, 1, 1]);
    await crash(world.lab, agentName(home().name));
    const last = await uptimes();
    await eventually('every guest counts on without an agent', async () => (await uptimes()).every((uptime, index) => uptime > last[index]! + 1), { withinMs: 20_000 });
    const startedAt = new Date().toISOString();
    startAgain(world.lab, agentName(home().name));
    await eventually('all three are adopted', async () => (await allSeen(before.pids)) && (await observedAfter(startedAt)), { withinMs: 5_000, everyMs: 50 });
    expect(await pids()).toEqual(before.pids);
    const after = await uptimes();
    expect(after.every((uptime, index) => uptime > before.uptimes[index]!)).toBe(true);
    expect(await boots()).toEqual(before.boots);
  });

  it('five times in a row, each time in the middle of its start, ends the same', async () => {
    const before = await pids();
    for (let round = 0; round < 5; round += 1) {
      await crash(world.lab, agentName(home().name));
      startAgain(world.lab, agentName(home().name));
    }
    const lastStart = new Date().toISOString();
    await waitReady(world.lab);
    await eventually('all three are adopted', async () => (await allSeen(before)) && (await observedAfter(lastStart)));
    expect(await pids()).toEqual(before);
  });

  it('the adopted VMs answer and obey', async () => {
    for (const vm of vms) await answersPing(world, vm);
    // After so many deaths the pool may have found its host silent, and a moment later back.
    const stop = () => world.rest.ask(stopVm, { vmId: vms[2]!.id }).then((ref) => ({ ref }), (error: unknown) => (error instanceof Refusal && error.code === 'HOST_UNREACHABLE' ? undefined : { error }));
    const asked = await eventually('the host is not silent any more', stop);
    if ('error' in asked) throw asked.error;
    await world.rest.succeeded(asked.ref);
    expect(await qemusOf(world, vms[2]!.id)).toEqual([]);
  });
});

describe('F1: a QEMU that the pool did not start', () => {
  it('is shown as unmanaged and survives the agent’s death and all that follows', async () => {
    const unmanaged = await eventually('the host shows the stranger', async () => (await host()).unmanaged.find(({ pid }) => pid === stranger.pid), { withinMs: 40_000, everyMs: 300 });
    expect(unmanaged).toMatchObject({ pid: stranger.pid, uuid: strangersUuid, name: 'stranger' });
    await crash(world.lab, agentName(home().name));
    startAgain(world.lab, agentName(home().name));
    await waitReady(world.lab);
    await eventually('the host shows the stranger again', async () => (await host()).unmanaged.some(({ pid }) => pid === stranger.pid), { withinMs: 40_000, everyMs: 300 });
    expect(stranger.exitCode).toBeNull();
    expect((await qemusOn(home())).some(({ pid }) => pid === stranger.pid)).toBe(true);
  });
});

/** How often each guest has booted. */
async function boots(): Promise<number[]> {
  return Promise.all(vms.map(async (vm) => (await consoleOf(world, vm)).split('GUEST-UP').length - 1));
}

async function observedAfter(at: string): Promise<boolean> {
  const seen = await Promise.all(vms.map((vm) => vmOf(world, vm.id)));
  return seen.every(({ status }) => status.observedAt !== null && status.observedAt >= at);
}
