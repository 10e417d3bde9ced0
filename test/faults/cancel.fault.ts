// Tasks of VMs are cancelled while no host does what it is told, with NATS and without it: once the hosts respond, each has ended
// within the time that users are promised, and every VM is as it was. One past its point of no return refuses, and is carried out.
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { cancelTask, createVm, deleteVm, explainPlacement, getDatastore, getTask, hibernateVm, listHosts, modifyVm, powerOffVm, startVm } from '#contracts';
import type { TaskRef, Vm } from '#contracts';
import { eventually } from '../e2e/eventually.ts';
import { holdings } from '../e2e/holdings.ts';
import type { Holdings } from '../e2e/holdings.ts';
import { agentName, crash, freeze, startAgain, thaw, waitReady } from '../e2e/lab.mjs';
import { Refusal } from '../e2e/rest.ts';
import { deploy, ownVms, removeOwn, roomFor, small, vmOf } from '../e2e/vms.ts';
import { openWorld } from '../e2e/world.ts';
import type { World } from '../e2e/world.ts';
import { tiny } from './kinds.ts';

/** What users are promised. */
const CANCELLED_WITHIN_MS = 30_000;
const bases = ['stopped', 'running', 'busy', 'asleep', 'old'] as const;
type Base = (typeof bases)[number];

/** Enough for QEMU and its firmware, which is all that these tasks need. */
const bare = { ...tiny, bootOrder: [...tiny.bootOrder], nics: [] };

let world: World;
let vms: Record<Base, Vm>;
let before: Holdings;
let seen: readonly unknown[];

beforeAll(async () => {
  world = await openWorld('cancel');
  await roomFor(world, bases.length + 1);
  const made = await Promise.all(bases.map(async (name) => [name, await deploy(world, name, { ...bare, start: name !== 'stopped' && name !== 'old' })] as const));
  vms = Object.fromEntries(made) as Record<Base, Vm>;
  // What a host has just told is in the row a moment after the end of the task.
  await eventually('those that were started run', async () => (await ownVms(world)).filter(({ status }) => status.state === 'running').length === 3);
  await world.rest.carryOut(hibernateVm, { vmId: vms.asleep.id });
}, 120_000);
afterAll(async () => {
  for (const host of world.record.hosts) thaw(world.lab, agentName(host.name));
  await waitReady(world.lab);
  await removeOwn(world);
}, 120_000);

/**
 * What a cancel must leave as it was. A start that was cancelled has used up an epoch, and its VM names the host that had been told: older
 * words of that host must be known for what they are. Nothing of the VM is left there, as the holdings say.
 */
const looks = ({ name, spec, status: { state, hostId, saved }, taskId, pending }: Vm): object => ({ name, spec, state, runsOn: state === 'running' ? hostId : null, saved, taskId, pending });
const all = async (): Promise<object[]> => (await ownVms(world)).sort((a, b) => (a.name < b.name ? -1 : 1)).map(looks);

interface Deed {
  readonly name: string;
  /** Where the task stands while no host answers. */
  readonly step: string;
  begin(): Promise<unknown>;
}
const deeds: readonly Deed[] = [
  { name: 'create', step: 'make-disks-and-ports', begin: () => world.rest.ask(createVm, small(world, `new-${randomUUID().slice(0, 8)}`, bare)) },
  { name: 'start', step: 'start-on-host', begin: () => world.rest.ask(startVm, { vmId: vms.stopped.id }) },
  { name: 'hibernate', step: 'make-volume', begin: () => world.rest.ask(hibernateVm, { vmId: vms.running.id }) },
  { name: 'modify, hot', step: 'adjust-host', begin: () => world.rest.ask(modifyVm, { vmId: vms.busy.id, cpuService: { limit: 500 } }) },
  { name: 'wake', step: 'start-on-host', begin: () => world.rest.ask(startVm, { vmId: vms.asleep.id }) },
];

/** Each service hears by itself that the hosts respond. */
async function allBelieved(): Promise<void> {
  await eventually('everybody believes in every host again', async () => {
    const count = world.record.hosts.length;
    const [{ items: hosts }, store, { candidates }] = await Promise.all([
      world.rest.ask(listHosts, {}), world.rest.ask(getDatastore, { datastoreId: getDatastore.input.shape.datastoreId.parse(world.record.datastore.id) }),
      world.rest.ask(explainPlacement, { clusterId: world.record.cluster.id, demand: { vcpus: 1, memoryBytes: bare.memoryBytes } }),
    ]);
    return hosts.every(({ state }) => state === 'connected') && store.hosts.every(({ connected }) => connected) && candidates.length === count;
  });
}

/** Every task stands at a command that no host takes. */
async function beginAll(): Promise<readonly (readonly [Deed, TaskRef])[]> {
  await allBelieved();
  for (const host of world.record.hosts) freeze(world.lab, agentName(host.name));
  const begun = await Promise.all(deeds.map(async (deed) => [deed, (await deed.begin()) as TaskRef] as const));
  for (const [{ name, step }, { taskId }] of begun) {
    await eventually(`${name} stands at ${step}`, async () => {
      const task = await world.rest.ask(getTask, { taskId });
      if (task.steps.some((found) => found.name === step && found.state === 'running')) return true;
      throw new Error(JSON.stringify(task));
    });
  }
  return begun;
}

async function allRespond(): Promise<void> {
  for (const host of world.record.hosts) thaw(world.lab, agentName(host.name));
  await waitReady(world.lab);
}

/** How the tasks are asked to end. */
const ways: readonly (readonly [string, (refs: readonly TaskRef[]) => Promise<void>])[] = [
  ['F2 in part: the agents are stopped, and the tasks are cancelled', async (refs) => {
    await Promise.all(refs.map(({ taskId }) => world.rest.ask(cancelTask, { taskId })));
  }],
  ['F2 in part, F18 in part: the agents are stopped and NATS is killed, and the tasks are cancelled: that waits for NATS', async (refs) => {
    await crash(world.lab, 'nats');
    const key = randomUUID();
    const [first] = refs;
    const answer = await world.rest.ask(cancelTask, { taskId: first!.taskId }, { key, patientMs: 0 }).catch((error: unknown) => error);
    expect(answer).toBeInstanceOf(Refusal);
    expect([503, 504]).toContain((answer as Refusal).status);
    const asked = Promise.all(refs.map(({ taskId }, index) => world.rest.ask(cancelTask, { taskId }, index === 0 ? { key } : {})));
    startAgain(world.lab, 'nats');
    await asked;
  }],
];

describe.each(ways)('%s', (_, cancel) => {
  it('each ends as cancelled, and its VM is as it was', async () => {
    before = await holdings(world);
    seen = await all();
    const begun = await beginAll();
    await cancel(begun.map(([, ref]) => ref));
    await allRespond();
    const ended = await Promise.all(begun.map(async ([{ name }, ref]) => [name, (await world.rest.ended(ref, CANCELLED_WITHIN_MS)).state]));
    expect(ended).toEqual(deeds.map(({ name }) => [name, 'cancelled']));
    await eventually('every VM is as it was', async () => JSON.stringify(await all()) === JSON.stringify(seen), { withinMs: CANCELLED_WITHIN_MS }).catch(() => undefined);
    expect(await all()).toEqual(seen);
    expect(await holdings(world)).toEqual(before);
  }, 150_000);
});

it('F2 in part: a deletion that waits for a stopped agent behind its point of no return refuses the cancel, and is carried out', async () => {
  await allBelieved();
  for (const host of world.record.hosts) freeze(world.lab, agentName(host.name));
  const ref = await world.rest.ask(deleteVm, { vmId: vms.old.id, purge: true });
  await eventually('it stands behind its point of no return', async () => (await world.rest.ask(getTask, { taskId: ref.taskId })).steps.some(({ name, state }) => name === 'discard-disks' && state === 'running'));
  expect(await world.rest.refusal(cancelTask, { taskId: ref.taskId })).toMatchObject({ status: 409, code: 'TASK_NOT_CANCELLABLE' });
  await allRespond();
  expect((await world.rest.ended(ref)).state).toBe('succeeded');
  await world.rest.carryOut(powerOffVm, { vmId: vms.busy.id });
  expect((await vmOf(world, vms.busy.id)).status.state).toBe('stopped');
}, 120_000);
