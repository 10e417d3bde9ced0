// The first day again, by the command line: every command is one that a user would type, and its exit status is one that
// a script can rely on.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { holdings } from './holdings.ts';
import type { Holdings } from './holdings.ts';
import { openShell, signInShell } from './shell.ts';
import type { Shell } from './shell.ts';
import { answersPing, booted, ownVms, removeOwn } from './vms.ts';
import { openWorld } from './world.ts';
import type { World } from './world.ts';

let world: World;
let shell: Shell;
let before: Holdings;
beforeAll(async () => {
  world = await openWorld('ctl');
  shell = await openShell(world);
  before = await holdings(world);
});
afterAll(async () => {
  await removeOwn(world);
  await shell.close();
});

const named = (name: string): string => `${world.prefix}-${name}`;
const status = async (...args: string[]): Promise<number> => (await shell.run(['tokctl', ...args])).status;
const lines = (text: string): string[] => text.split('\n').filter(Boolean);

describe('tokctl', () => {
  it('without signing in ends with 3, and signs in', async () => {
    expect(await status('vm', 'list')).toBe(3);
    await signInShell(shell, world);
    expect(await shell.tokctlJson('whoami')).toMatchObject({ handle: world.record.admin.user });
  });

  it('lists the hosts', async () => {
    expect(lines(await shell.tokctl('host', 'list', '-o', 'name')).sort()).toEqual(['host1', 'host2', 'host3']);
    expect(await shell.tokctl('host', 'list')).toMatch(/host1.*connected/i);
  });

  it('uploads an image and makes a template', async () => {
    await shell.tokctl('image', 'upload', '--name', named('image'), '--file', world.record.guestImage, '--wait');
    await shell.tokctl('template', 'create', '--name', named('template'), '--image', named('image'), '--memory', '128MiB');
  });

  it('deploys three VMs at once, with addresses of their own that answer', async () => {
    await Promise.all(['a', 'b', 'c'].map((name) => shell.tokctl('vm', 'create', '--name', named(name), '--template', named('template'), '--deploy', 'linked', '--nic', 'port-group=vlan100', '--wait')));
    const vms = await ownVms(world);
    expect(vms.map((vm) => vm.status.state)).toEqual(['running', 'running', 'running']);
    expect(new Set(vms.map((vm) => vm.spec.nics[0]?.ip)).size).toBe(3);
    for (const vm of vms) await answersPing(world, await booted(world, vm));
  }, 180_000);

  it('stops one and starts it again', async () => {
    await shell.tokctl('vm', 'stop', named('a'), '--wait');
    expect(await shell.tokctlJson('vm', 'get', named('a'))).toMatchObject({ status: { state: 'stopped' } });
    await shell.tokctl('vm', 'start', named('a'), '--wait');
    expect(await shell.tokctlJson('vm', 'get', named('a'))).toMatchObject({ status: { state: 'running' } });
  }, 90_000);

  it('says in its exit status what went wrong', async () => {
    expect(await status('vm', 'get', named('nobody'))).toBe(4);
    expect(await status('vm', 'create', '--name', '../etc', '--template', named('template'))).toBe(2);
    expect(await status('vm', 'create', '--no-such-flag')).toBe(2);
    expect(await status('vm', 'start', named('a'))).toBe(5);
    expect(await status('vm', 'create', '--name', named('giant'), '--template', named('template'), '--memory', '8TiB', '--wait')).toBe(1);
    expect((await shell.run(['env', 'TOK_URL=http://127.0.0.1:1', 'TOK_TOKEN=x', 'tokctl', 'vm', 'list'])).status).toBe(6);
  });

  it('deletes all, and nothing is left', async () => {
    await Promise.all(['a', 'b', 'c'].map((name) => shell.tokctl('vm', 'delete', named(name), '--force', '--purge', '--wait')));
    await shell.tokctl('template', 'delete', named('template'));
    await shell.tokctl('image', 'delete', named('image'), '--wait');
    expect(await holdings(world)).toEqual(before);
  });

  it('signs out', async () => {
    await shell.tokctl('logout');
    expect(await status('vm', 'list')).toBe(3);
  });
});
