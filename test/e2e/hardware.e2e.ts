// Hardware that comes and goes under a running guest, and changes that wait for its next start, as user and guest see them.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { attachDisk, attachNic, changeNic, deleteVolume, detachDisk, detachNic, discardPending, getVolume, listPorts, listVolumes, modifyVm, rebootVm } from '#contracts';
import type { Operation, RequestOf, Task, Vm, VolumeId } from '#contracts';
import { eventually } from './eventually.ts';
import { inGuest } from './guest-shell.ts';
import { booted, consoleOf, deploy, removeOwn, vmOf } from './vms.ts';
import { MiB, openWorld } from './world.ts';
import type { World } from './world.ts';

let world: World;
let vm: Vm;
beforeAll(async () => {
  world = await openWorld('hardware');
  vm = await booted(world, await deploy(world, 'vm'));
  await eventually('the guest agent answers', async () => (await now()).status.guestAgent);
}, 120_000);
afterAll(() => removeOwn(world));

const now = (): Promise<Vm> => vmOf(world, vm.id);
const said = async (line: string): Promise<string> => (await inGuest(world, vm, line)).output.trim();
const carryOut = (operation: Operation, input: object): Promise<Task> => world.rest.carryOut(operation, { vmId: vm.id, ...input });
async function failure<O extends Operation>(operation: O, input: object): Promise<Task> {
  return world.rest.ended(await world.rest.ask(operation, { vmId: vm.id, ...input } as RequestOf<O>) as { taskId: Task['id']; objectId: string });
}
const volumesOfVm = async () => (await world.rest.ask(listVolumes, { attachedTo: vm.id })).items;

describe('a disk on a running VM', () => {
  let volumeId: VolumeId;
  let diskId: string;

  it('is attached, and the guest sees it', async () => {
    expect((await carryOut(attachDisk, { sizeBytes: 64 * MiB })).output).toEqual({ guest: 'confirmed' });
    const [, disk] = (await now()).spec.disks;
    expect(disk).toMatchObject({ slot: 1, sizeBytes: 64 * MiB, bus: 'virtio' });
    ({ volumeId, diskId } = disk!);
    expect((await volumesOfVm()).map(({ id }) => id)).toContain(volumeId);
    await eventually('the guest has vdb', async () => (await said('cat /sys/block/vdb/size')) === String((64 * MiB) / 512));
    await inGuest(world, vm, 'for module in $(cat /lib/modules/on-demand); do insmod /lib/modules/$module; done; mkdosfs /dev/vdb && mount -t vfat /dev/vdb /mnt && echo kept > /mnt/word && sync');
    expect(await said('cat /mnt/word')).toBe('kept');
  });

  it('that the guest has mounted is not detached, and the refusal says where', async () => {
    const task = await failure(detachDisk, { diskId });
    expect(task).toMatchObject({ state: 'failed', error: { code: 'DEVICE_HELD', details: { reason: 'mounted', mountPoints: ['/mnt'] } } });
    expect((await now()).spec.disks).toHaveLength(2);
    expect(await said('cat /mnt/word')).toBe('kept');
    expect(await world.rest.refusal(deleteVolume, { volumeId })).toMatchObject({ status: 409, code: 'IN_USE' });
    expect(await world.rest.refusal(attachDisk, { vmId: vm.id, volumeId })).toMatchObject({ status: 409, code: 'IN_USE' });
  });

  it('is detached when it is unmounted, is nobody’s then, and keeps its data for whoever has it next', async () => {
    expect((await inGuest(world, vm, 'umount /mnt')).status).toBe(0);
    await carryOut(detachDisk, { diskId });
    expect((await now()).spec.disks).toHaveLength(1);
    expect(await said('ls /sys/block | grep -c vdb')).toBe('0');
    expect(await world.rest.ask(getVolume, { volumeId })).toMatchObject({ attachedTo: null, state: 'ready' });
    await carryOut(attachDisk, { volumeId });
    await eventually('the guest has vdb again', async () => (await inGuest(world, vm, 'test -b /dev/vdb')).status === 0);
    expect(await said('mount -t vfat /dev/vdb /mnt && cat /mnt/word && umount /mnt')).toBe('kept');
    const [, disk] = (await now()).spec.disks;
    await carryOut(detachDisk, { diskId: disk!.diskId, keep: false });
    expect(await world.rest.refusal(getVolume, { volumeId })).toMatchObject({ status: 404 });
  });
});

it('a NIC on a running VM gets its address by DHCP, another one on another port group, and gives it back when it is detached', async () => {
  expect((await carryOut(attachNic, { portGroupId: world.record.otherNetwork.portGroupId })).output).toEqual({ guest: 'confirmed' });
  const [, nic] = (await now()).spec.nics;
  expect(nic).toMatchObject({ slot: 1, portGroupId: world.record.otherNetwork.portGroupId });
  await eventually('the guest has taken the address', async () => (await consoleOf(world, vm)).includes(`DHCP eth1 ${nic!.ip}`), { withinMs: 30_000 });

  await carryOut(changeNic, { nicId: nic!.nicId, portGroupId: world.record.network.portGroupId });
  const [first, moved] = (await now()).spec.nics;
  expect(moved).toMatchObject({ nicId: nic!.nicId, mac: nic!.mac, portGroupId: world.record.network.portGroupId });
  expect(moved!.ip).not.toBe(first!.ip);
  expect(Number(await said('cat /sys/class/net/eth1/carrier_changes'))).toBeGreaterThanOrEqual(3); // up, down, up
  // This guest's DHCP client does not look at the link; a new one asks.
  const { length } = await consoleOf(world, vm);
  await said('kill $(cat /run/udhcpc-eth1.pid)');
  await eventually('the guest has taken the other address', async () => (await consoleOf(world, vm)).slice(length).includes(`DHCP eth1 ${moved!.ip}`), { withinMs: 30_000 });

  await carryOut(detachNic, { nicId: nic!.nicId });
  expect((await now()).spec.nics).toHaveLength(1);
  expect(await said('ls /sys/class/net | grep -c eth1')).toBe('0');
  expect((await world.rest.ask(listPorts, { vmId: vm.id })).items).toHaveLength(1);
}, 90_000);

it('sizes that a running VM cannot take wait for its restart, and can be taken back before', async () => {
  const was = (await now()).spec;
  const next = { memoryBytes: 192 * MiB, cpu: { sockets: 1, cores: 2, threads: 1 } };
  await carryOut(modifyVm, { ...next, bootOrder: ['network'], ha: { priority: 'high' } });
  expect(await now()).toMatchObject({ spec: { memoryBytes: was.memoryBytes, cpu: was.cpu, ha: { priority: 'high' } }, pending: { ...next, bootOrder: ['network'] } });
  expect((await world.rest.ask(discardPending, { vmId: vm.id })).pending).toBeNull();
  expect(await world.rest.refusal(modifyVm, { vmId: vm.id, memoryService: { reservation: 1024 * MiB } })).toMatchObject({ status: 400, fault: { details: { issues: [{ path: 'memoryService.reservation' }] } } });
  await carryOut(modifyVm, next);

  const { length } = await consoleOf(world, vm);
  await carryOut(rebootVm, {});
  const after = await booted(world, await now(), length);
  expect(after).toMatchObject({ pending: null, spec: next });
  expect(await said('nproc')).toBe('2');
  expect(Number(await said("awk '/MemTotal/ { print $2 }' /proc/meminfo"))).toBeGreaterThan(140 * 1024);
}, 120_000);
