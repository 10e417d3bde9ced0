// The guide of a new user's first hour holds: its blocks marked `sh run` are pasted into one shell, in their order.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { deletePortGroup, deleteSubnet, listPortGroups, listSubnets } from '#contracts';
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

/** The guide's blocks with their headings. */
function blocks(): { heading: string; text: string }[] {
  const guide = readFileSync(join(world.lab.repo, 'docs/guides/first-hour.md'), 'utf8');
  return guide.split(/^## /m).flatMap((section) => {
    const heading = section.split('\n')[0] ?? '';
    return [...section.matchAll(/^```sh run\n([\s\S]*?)^```$/gm)].map(([, text]) => ({ heading, text: text ?? '' }));
  });
}

describe('the guide of the first hour', () => {
  it('can be pasted as it stands', async () => {
    const all = blocks();
    expect(all.length).toBeGreaterThan(5);
    const script = ['set -euo pipefail', ...all.flatMap(({ heading, text }, index) => [`echo '@@ ${index}: ${heading.replaceAll('\'', '’')}'`, text]), 'echo @@ done'].join('\n');
    const ended = await shell.run(['bash', '-c', script], { withinMs: 240_000 });
    expect({ ...ended, out: ended.out.slice(-2_000), err: ended.err.slice(-2_000) }).toMatchObject({ status: 0, out: expect.stringContaining('@@ done') });
  }, 260_000);

  it('leaves nothing behind', async () => {
    expect(await holdings(world)).toEqual(before);
  });
});
