// The guide of a new user's first hour holds: its blocks marked `sh run` are pasted into one shell, in their order.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { deletePortGroup, deleteSubnet, listPortGroups, listSubnets } from '#contracts';
import { blocksOf, paste, PASTED } from './guide.ts';
import { holdings } from './holdings.ts';
import type { Holdings } from './holdings.ts';
import { openShell } from './shell.ts';
import type { Shell } from './shell.ts';
import { removeOwn } from './vms.ts';
import { openWorld } from './world.ts';
import type { World } from './world.ts';

let world: World;
let shell: Shell;
let before: Holdings;
beforeAll(async () => {
  world = { ...(await openWorld('hour')), prefix: 'hour' }; // the guide chooses the names
  shell = await openShell(world);
  before = await holdings(world);
});
afterAll(async () => {
  await removeOwn(world);
  const { rest } = world;
  const own = ({ name }: { name: string }): boolean => name.startsWith('hour-');
  for (const { id } of (await rest.ask(listSubnets, {})).items.filter(own)) await rest.ask(deleteSubnet, { subnetId: id });
  for (const { id } of (await rest.ask(listPortGroups, {})).items.filter(own)) await rest.ask(deletePortGroup, { portGroupId: id });
  await shell.close();
});

describe('the guide of the first hour', () => {
  it('can be pasted as it stands', async () => {
    const all = blocksOf(world, 'first-hour.md');
    expect(all.length).toBeGreaterThan(5);
    expect(await paste(shell, all, 240_000)).toMatchObject({ status: 0, out: expect.stringContaining(PASTED) });
  }, 260_000);

  it('leaves nothing behind', async () => {
    expect(await holdings(world)).toEqual(before);
  });
});
