// Histories and who sees what: a right on a folder shows what happens in it.
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { createFolder, createGrant, createUser, deleteFolder, deleteUser, folderHistory, getFolder, listEvents, listRoles, listTasks, setPassword, updateVm, vmHistory } from '#contracts';
import type { FolderId, UserId } from '#contracts';
import { eventually } from './eventually.ts';
import { Rest } from './rest.ts';
import { deploy, removeOwn, vmOf } from './vms.ts';
import { openWorld } from './world.ts';
import type { World } from './world.ts';

let world: World;
let userId: UserId;
let folderId: FolderId;
beforeAll(async () => {
  world = await openWorld('hist');
});
afterAll(async () => {
  await removeOwn(world);
  await world.rest.ask(deleteUser, { userId });
  await world.rest.ask(deleteFolder, { folderId });
});

const PASSWORD = 'correct horse battery';

/** A viewer of one folder, signed in. */
async function viewerOf(scopeId: FolderId): Promise<Rest> {
  const { rest, prefix, record } = world;
  const made = await rest.ask(createUser, { handle: `${prefix}-viewer`, password: `first ${PASSWORD}`, mustChangePassword: true });
  userId = made.id;
  const role = (await rest.ask(listRoles, { name: 'viewer' })).items[0]!;
  await rest.ask(createGrant, { userId, roleId: role.id, scope: 'folder', scopeId });
  await (await Rest.signIn(record.gateway.url, made.handle, `first ${PASSWORD}`)).ask(setPassword, { userId, currentPassword: `first ${PASSWORD}`, newPassword: PASSWORD });
  return Rest.signIn(record.gateway.url, made.handle, PASSWORD);
}

it('a right on a folder shows tasks, events and history of the VMs in it, from the moment they come', async () => {
  folderId = (await world.rest.ask(createFolder, { name: world.prefix })).id;
  const vm = await deploy(world, 'moved', { start: false });
  const viewer = await viewerOf(folderId);
  const seen = async () => ({
    tasks: (await viewer.ask(listTasks, { objectId: vm.id })).items.map(({ kind }) => kind),
    events: (await viewer.ask(listEvents, { latest: true })).items.filter(({ objectId }) => objectId === vm.id).length,
  });
  expect(await seen()).toEqual({ tasks: [], events: 0 });
  expect(await viewer.refusal(vmHistory, { vmId: vm.id })).toMatchObject({ status: 404, code: 'NOT_FOUND' });
  await world.rest.ask(updateVm, { vmId: vm.id, folderId });
  await eventually('the viewer sees the VM that came', async () => (await seen()).events > 0);
  expect((await seen()).tasks).toEqual(['compute.vm.create']);
  const { items } = await viewer.ask(vmHistory, { vmId: vm.id });
  expect(items[0]).toMatchObject({ what: 'event', actor: { handle: world.record.admin.user }, changes: expect.arrayContaining([{ field: 'folderId', from: null, to: folderId }]) });
  expect(items).toContainEqual(expect.objectContaining({ what: 'task', name: 'compute.vm.create', state: 'succeeded' }));
  expect((await viewer.ask(folderHistory, { folderId })).items.map(({ what }) => what)).toContain('event');
  expect(await viewer.ask(getFolder, { folderId })).toMatchObject({ vms: 1 });
  expect((await vmOf(world, vm.id)).folderId).toBe(folderId);
}, 120_000);
