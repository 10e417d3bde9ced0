// Rights: who has none gets 403 and sees nothing; who owns something sees that and no more; who may look may not touch.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  allOperations, createGrant, createUser, createVm, deleteUser, deleteVm, getTask, getVm, listClaims, listDatastores, listEvents, listHosts, listImages, listPortGroups, listPorts, listRoles, listSubnets,
  listSwitches, listTasks, listTemplates, listUsers, listVms, listVolumes, powerOffVm, routeOf, setPassword, startVm, stopVm, updateVm,
} from '#contracts';
import type { Operation, ReplyOf, Vm } from '#contracts';
import { Rest } from './rest.ts';
import { begin, deploy, removeOwn, small, vmOf } from './vms.ts';
import { openWorld } from './world.ts';
import type { World } from './world.ts';

let world: World;
let vm: Vm;
const users: ReplyOf<typeof createUser>[] = [];

const password = 'correct horse battery';
let nobody: Rest;
let owner: Rest;
let viewer: Rest;

/** A new user with the role on the whole site, signed in with a password of his own. */
async function user(name: string, roleName: string | null): Promise<Rest> {
  const { rest, prefix, record } = world;
  const made = await rest.ask(createUser, { handle: `${prefix}-${name}`, password: `first ${password}`, mustChangePassword: true });
  users.push(made);
  if (roleName !== null) {
    const role = (await rest.ask(listRoles, { name: roleName })).items[0]!;
    await rest.ask(createGrant, { userId: made.id, roleId: role.id });
  }
  const first = await Rest.signIn(record.gateway.url, made.handle, `first ${password}`);
  // Nothing but a new password is allowed with the first one.
  expect(await first.refusal(listVms, {})).toMatchObject({ status: 403, code: 'PASSWORD_CHANGE_REQUIRED' });
  await first.ask(setPassword, { userId: made.id, currentPassword: `first ${password}`, newPassword: password });
  return Rest.signIn(record.gateway.url, made.handle, password);
}

beforeAll(async () => {
  world = await openWorld('right');
  vm = await deploy(world, 'admins', { start: false });
  nobody = await user('nobody', null);
  owner = await user('owner', 'vm-user');
  viewer = await user('viewer', 'viewer');
}, 60_000);
afterAll(async () => {
  await removeOwn(world);
  for (const { id } of users) await world.rest.ask(deleteUser, { userId: id });
});

const lists: readonly Operation[] = [listVms, listVolumes, listPorts, listTasks, listHosts, listDatastores, listSwitches, listPortGroups, listSubnets, listImages, listTemplates, listClaims, listEvents, listUsers];

/** What a list shows of others: its items, or the refusal of the list as a whole. What happened to himself a user may know. */
async function shown(rest: Rest, operation: Operation): Promise<unknown[] | number> {
  const answer = await rest.send('GET', routeOf(operation)!.path);
  if (answer.status !== 200) return answer.status;
  return (answer.body as { items: { objectId?: string }[] }).items.filter((item) => !users.some((one) => one.id === item.objectId));
}

describe('without rights', () => {
  it('creating a VM is refused with 403 and the right that lacks', async () => {
    expect(await nobody.refusal(createVm, small(world, 'no'))).toMatchObject({ status: 403, code: 'PERMISSION_DENIED', fault: { details: { permission: 'vm.create' } } });
  });

  it.each(lists.map((operation) => [operation.name, operation] as const))('%s shows nothing', async (_, operation) => {
    expect([[], 403]).toContainEqual(await shown(nobody, operation));
  });

  it('an object of somebody else is not there, neither to see nor to touch', async () => {
    for (const [operation, input] of [[getVm, {}], [startVm, {}], [stopVm, {}], [powerOffVm, {}], [deleteVm, {}], [updateVm, { description: 'mine' }]] as const) {
      const refusal = await nobody.refusal(operation, { vmId: vm.id, ...input });
      expect([403, 404]).toContain(refusal.status);
      expect(JSON.stringify(refusal.fault)).not.toContain(vm.name);
    }
    expect(await vmOf(world, vm.id)).toEqual(vm);
  });
});

describe('without signing in', () => {
  const routed = allOperations.filter((operation) => operation.permission !== 'public' && operation.permission !== 'internal').flatMap((operation) => routeOf(operation) ?? []);

  it.each(routed.map((route) => [`${route.method} ${route.path}`, route] as const))('%s is refused with 401', async (_, route) => {
    const path = route.path.replaceAll(/:[A-Za-z0-9]+/g, '01890000-0000-7000-8000-000000000000');
    const body = route.rest === 'body' ? { body: {} } : {};
    for (const rest of [new Rest(world.record.gateway.url), new Rest(world.record.gateway.url, 'ey.not.a-token')]) {
      const answer = await rest.send(route.method, path, { ...body, headers: { 'idempotency-key': crypto.randomUUID() } });
      expect(answer).toMatchObject({ status: 401 });
    }
  });
});

describe('the owner of a VM', () => {
  let own: Vm;
  it('makes one', async () => {
    const as: World = { ...world, rest: owner };
    const ref = await begin(as, 'owners', { start: false });
    await owner.succeeded(ref);
    own = await owner.ask(getVm, { vmId: getVm.input.shape.vmId.parse(ref.objectId) });
    expect(own.ownerId).not.toBeNull();
    expect(await owner.ask(getTask, { taskId: ref.taskId })).toMatchObject({ state: 'succeeded' });
  });

  it('may change and delete it', async () => {
    expect(await owner.ask(updateVm, { vmId: own.id, description: 'mine' })).toMatchObject({ description: 'mine' });
    await owner.carryOut(deleteVm, { vmId: own.id, purge: true });
    expect(await owner.refusal(getVm, { vmId: own.id })).toMatchObject({ status: 404 });
  });

  it('may not do what only administrators may', async () => {
    const answer = await owner.send('POST', '/v1/users', { body: { handle: 'more', password }, headers: { 'idempotency-key': crypto.randomUUID() } });
    expect([answer.status, (answer.body as { code: string }).code]).toEqual([403, 'PERMISSION_DENIED']);
    expect(await shown(owner, listUsers)).toBe(403);
  });
});

describe('who may only look', () => {
  it('sees the VM and may not touch it', async () => {
    expect((await viewer.ask(getVm, { vmId: vm.id })).name).toBe(vm.name);
    for (const [operation, input] of [[startVm, {}], [powerOffVm, {}], [deleteVm, {}], [updateVm, { description: 'mine' }]] as const) {
      const refusal = await viewer.refusal(operation, { vmId: vm.id, ...input });
      expect([operation.name, refusal.status, refusal.code]).toEqual([operation.name, 403, 'PERMISSION_DENIED']);
    }
    expect(await vmOf(world, vm.id)).toEqual(vm);
  });
});
