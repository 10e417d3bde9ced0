// Twenty deployments at the same moment: twenty of twenty succeed, each VM runs once with an address of its own, and what
// they took is given back. Nobody waits for the guests to boot.
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { holdings } from './holdings.ts';
import { qemusOf } from './qemu.ts';
import { addressOf, begin, removeOwn, removeOwnVms, vmOf } from './vms.ts';
import { MiB, openWorld } from './world.ts';
import type { World } from './world.ts';

const COUNT = 20;
let world: World;
beforeAll(async () => { world = await openWorld('twenty'); });
afterAll(() => removeOwn(world), 120_000);

it('twenty deployments at once: twenty of twenty', async () => {
  const before = await holdings(world);
  const refs = await Promise.all(Array.from({ length: COUNT }, (_, index) => begin(world, `${index}`, { memoryBytes: 96 * MiB, deploy: index % 4 === 0 ? 'full' : 'linked' })));
  const tasks = await Promise.all(refs.map((ref) => world.rest.ended(ref, 180_000)));
  expect(tasks.map((task) => [task.state, task.error])).toEqual(tasks.map(() => ['succeeded', null]));
  const vms = await Promise.all(refs.map((ref) => vmOf(world, ref.objectId)));
  expect(vms.map((vm) => vm.status.state)).toEqual(vms.map(() => 'running'));
  expect(new Set(vms.map(addressOf)).size).toBe(COUNT);
  for (const vm of vms) expect([vm.name, (await qemusOf(world, vm.id)).length]).toEqual([vm.name, 1]);
  await removeOwnVms(world);
  expect(await holdings(world)).toEqual(before);
}, 400_000);
