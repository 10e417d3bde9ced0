// Deployments under fire: in the middle of ten of them one part dies, and all ten tasks succeed without hands. Each VM
// runs once, has an address of its own, and nothing is left after the deletion.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';
import { endStates, listTasks, taskServices } from '#contracts';
import type { TaskRef } from '#contracts';
import { eventually } from '../e2e/eventually.ts';
import { holdings } from '../e2e/holdings.ts';
import type { Holdings } from '../e2e/holdings.ts';
import { agentName, crash, freeze, startAgain, thaw, waitReady } from '../e2e/lab.mjs';
import { qemusOf } from '../e2e/qemu.ts';
import { addressOf, begin, removeOwn, roomFor, vmOf } from '../e2e/vms.ts';
import { MiB, openWorld } from '../e2e/world.ts';
import type { World } from '../e2e/world.ts';

let world: World;
let before: Holdings;
const COUNT = 10;

beforeAll(async () => {
  world = await openWorld('fire');
  await roomFor(world, COUNT);
}, 120_000);
beforeEach(async () => { before = await holdings(world); });
afterEach(async () => {
  await waitReady(world.lab);
  await removeOwn(world);
}, 120_000);
afterAll(() => waitReady(world.lab));

const again = async (name: string): Promise<void> => {
  await crash(world.lab, name);
  startAgain(world.lab, name);
};
const nothing = (): Promise<void> => Promise.resolve();
/** Two of the three hosts' agents are left; the tasks on the third wait for it. */
const firstAgent = (): string => agentName(world.record.hosts[0]!.name);

/**
 * What happens in the middle, and what is done once the tasks have ended. Each thing killed once and back at once is the
 * kill matrix's sample; here are what is taken away for longer, again and again, or all together.
 */
const faults: readonly (readonly [string, () => Promise<void>, () => Promise<void>])[] = [
  ['F27 in part, F29: Redis is emptied while the worker service compute is stopped until its claims have run out', async () => {
    freeze(world.lab, 'compute');
    await flushAll();
    await claimsRunOut();
    thaw(world.lab, 'compute');
  }, nothing],
  ['F26: Redis is killed and stays away', () => crash(world.lab, 'redis'), async () => { startAgain(world.lab, 'redis'); }],
  ['F19 in part, F20 in part: NATS is killed twenty times, and then stopped for a quarter of a minute', async () => {
    for (let times = 0; times < 20; times++) await again('nats');
    freeze(world.lab, 'nats');
    await passed(15_000);
    thaw(world.lab, 'nats');
  }, nothing],
  ['F18 in part, F23, F28, F32 in part: NATS, the database, the worker services and an agent are killed at once and come back', async () => {
    const all = ['nats', 'mariadb', ...taskServices, firstAgent()];
    await Promise.all(all.map((name) => crash(world.lab, name)));
    for (const name of all) startAgain(world.lab, name);
  }, nothing],
];

async function flushAll(): Promise<void> {
  const redis = new Redis(world.record.redis.url);
  try {
    expect(await redis.flushall()).toBe('OK');
  } finally {
    redis.disconnect();
  }
}

/** The database's clock alone says so; the frozen service cannot be asked, so the wait is the claim's own length. */
async function claimsRunOut(): Promise<void> {
  const { defaultTaskSettings } = await import('#testing');
  await passed(defaultTaskSettings.leaseMs * 1.2);
}

/** For what nobody can be asked about: the time itself is the fault. */
async function passed(ms: number): Promise<void> {
  const until = performance.now() + ms;
  await eventually(`${ms} ms have passed`, () => performance.now() > until, { withinMs: ms * 2 });
}

/** Resolves when the ten are neither all at their beginning nor all at their end. */
async function inTheMiddle(refs: readonly TaskRef[]): Promise<void> {
  const ids = new Set<string>(refs.map((ref) => ref.taskId));
  await eventually('the deployments are in their middle', async () => {
    const own = (await world.rest.ask(listTasks, { limit: 100 })).items.filter((task) => ids.has(task.id));
    const steps = own.reduce((done, task) => done + task.steps.filter((step) => step.state === 'done').length, 0);
    const open = own.filter((task) => !endStates.includes(task.state)).length;
    if (open === 0 && own.length === ids.size) throw new Error('they ended before the fault could strike');
    return steps >= COUNT && open > 0;
  }, { everyMs: 20 });
}

describe('ten deployments at once', () => {
  it.each(faults)('%s: all ten succeed', async (_, strike, mend) => {
    const refs = await Promise.all(Array.from({ length: COUNT }, (__, index) => begin(world, `${index}`, { memoryBytes: 96 * MiB, deploy: index % 2 === 0 ? 'full' : 'linked' })));
    await inTheMiddle(refs);
    await strike();
    const tasks = await Promise.all(refs.map((ref) => world.rest.ended(ref, 150_000)));
    await mend();
    expect(tasks.map((task) => [task.state, task.error])).toEqual(tasks.map(() => ['succeeded', null]));
    const vms = await Promise.all(refs.map((ref) => vmOf(world, ref.objectId)));
    expect(vms.map((vm) => vm.status.state)).toEqual(vms.map(() => 'running'));
    expect(new Set(vms.map(addressOf)).size).toBe(COUNT);
    for (const vm of vms) expect([vm.name, (await qemusOf(world, vm.id)).length]).toEqual([vm.name, 1]);
    await waitReady(world.lab);
    await removeOwn(world);
    expect(await holdings(world)).toEqual(before);
  }, 240_000);
});
