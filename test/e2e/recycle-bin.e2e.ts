// The recycle bin and folders as a user meets them, through REST: a running VM is deleted, comes back with its disk and
// its address and boots again; kept disks outlive their VM; what is purged leaves nothing.
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { createFolder, deleteFolder, deleteVm, deleteVolume, getVolume, listVms, purgeVm, restoreVm, startVm, updateVm } from '#contracts';
import type { FolderId, Vm } from '#contracts';
import { holdings } from './holdings.ts';
import type { Holdings } from './holdings.ts';
import { qemusOf } from './qemu.ts';
import { addressOf, deploy, removeOwn, vmOf } from './vms.ts';
import { MiB, openWorld } from './world.ts';
import type { World } from './world.ts';

let world: World;
let before: Holdings;
let vm: Vm;
beforeAll(async () => {
  world = await openWorld('bin');
  before = await holdings(world);
  vm = await deploy(world, 'held', { memoryBytes: 96 * MiB });
}, 120_000);
afterAll(() => removeOwn(world), 120_000);

const listed = async (input: object): Promise<string[]> => (await world.rest.ask(listVms, { q: world.prefix, ...input })).items.map(({ id }) => id);

it('a deleted VM is off, listed in the bin alone, and comes back as it was', async () => {
  await world.rest.carryOut(deleteVm, { vmId: vm.id, force: true });
  expect([await qemusOf(world, vm.id), await listed({}), await listed({ recycled: true })]).toEqual([[], [], [vm.id]]);
  expect(await world.rest.refusal(startVm, { vmId: vm.id })).toMatchObject({ status: 409, code: 'WRONG_STATE' });
  const back = await world.rest.ask(restoreVm, { vmId: vm.id });
  expect([back.name, back.recycled, addressOf(back), back.spec.disks]).toEqual([vm.name, null, addressOf(vm), vm.spec.disks]);
  await world.rest.carryOut(startVm, { vmId: vm.id });
  expect((await vmOf(world, vm.id)).status.state).toBe('running');
}, 120_000);

it('a list answers the fields that were asked for, and refuses what it does not have', async () => {
  const { body } = await world.rest.send('GET', `/v1/vms?q=${world.prefix}&fields=id,status.state`);
  expect(body).toMatchObject({ items: [{ id: vm.id, status: { state: 'running' } }] });
  expect(Object.keys((body as { items: object[] }).items[0]!)).toEqual(['id', 'status']);
  expect(await world.rest.refusal(listVms, { fields: 'id,colour' })).toMatchObject({ status: 400, code: 'INVALID_ARGUMENT' });
  expect(await world.rest.refusal(listVms, { sort: 'colour' })).toMatchObject({ status: 400, code: 'INVALID_ARGUMENT' });
  expect([await listed({ q: addressOf(vm) }), await listed({ q: vm.spec.nics[0]!.mac.slice(0, 14) })].map((ids) => ids.includes(vm.id))).toEqual([true, true]);
});

it('a folder holds the VM, also for lists of the folder above, and cannot go while it does', async () => {
  const folder = async (name: string, parentId: FolderId | null) => (await world.rest.ask(createFolder, { name: `${world.prefix}-${name}`, parentId })).id;
  const top = await folder('top', null);
  const below = await folder('below', top);
  await world.rest.ask(updateVm, { vmId: vm.id, folderId: below });
  expect([await listed({ folderId: top }), await listed({ folderId: top, subfolders: true })]).toEqual([[], [vm.id]]);
  expect(await world.rest.refusal(deleteFolder, { folderId: below })).toMatchObject({ status: 409, code: 'IN_USE' });
  await world.rest.ask(updateVm, { vmId: vm.id, folderId: null });
  for (const folderId of [below, top]) await world.rest.ask(deleteFolder, { folderId });
});

it('a kept disk outlives its VM under the VM’s name; purged, the VM leaves nothing', async () => {
  const [disk] = vm.spec.disks;
  await world.rest.carryOut(deleteVm, { vmId: vm.id, force: true, keepDisks: 'all' });
  expect(await world.rest.ask(getVolume, { volumeId: disk!.volumeId })).toMatchObject({ attachedTo: null, state: 'ready', name: `${Array.from(vm.name).slice(0, 25).join('')} disk 0` });
  await world.rest.carryOut(purgeVm, { vmId: vm.id });
  await world.rest.carryOut(deleteVolume, { volumeId: disk!.volumeId });
  await removeOwn(world);
  expect(await holdings(world)).toEqual(before);
}, 120_000);
