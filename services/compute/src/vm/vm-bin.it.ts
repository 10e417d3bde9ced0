// The recycle bin against the real database: what a deleted VM keeps and gives free, how it comes back, and that it goes
// for good when its time is over, once.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createVm, listVms, purgeVm, updateCluster, updateSite, type VmId } from '#contracts';
import { execute, selectRows } from '#database';
import { newUuid, orThrow } from '#kernel';
import type { TaskEngine, TaskKind } from '#tasks';
import { until } from '#testing';
import { ClusterHandlers } from '../cluster/cluster.handlers.ts';
import { createVmTask } from './create-vm.task.ts';
import { deleteVmTask } from './delete-vm.task.ts';
import { startVmTask } from './power-vm.task.ts';
import { recycleVmTask } from './recycle-vm.task.ts';
import { recycleBinReconciler } from './vm-bin.reconciler.ts';
import { VmWorld, asService } from './vm-world.fixture.ts';
import type { VmCommands } from './vm.commands.ts';
import { pageOfVms } from './vm-list.store.ts';

let world: VmWorld;
let engine: TaskEngine;
let vms: VmCommands;
beforeAll(async () => {
  world = await VmWorld.open();
  engine = await world.engine([createVmTask, startVmTask, deleteVmTask, recycleVmTask] as readonly TaskKind[]);
  vms = world.commands(engine);
  world.bus.handle(purgeVm, (input, ctx) => vms.purge(input, ctx));
});
afterAll(() => world.close());

async function settled(vmId: string): Promise<void> {
  await until('the task has ended', async () => ((await world.record(vmId))?.vm.taskId ?? null) === null);
  await world.heardAll();
}
const vmOf = async (vmId: string) => (await world.record(vmId))!.vm;
async function recycled(name: string, keepDisks?: string): Promise<VmId> {
  const vmId = await world.vm('stopped', { name });
  orThrow(await vms.delete({ vmId, force: false, purge: false, keepDisks }, asService()));
  await settled(vmId);
  return vmId;
}
const listed = async (over: object) => orThrow(await pageOfVms(world.scene.db, 'system', listVms.input.parse({ limit: 500, ...over }))).items.map((vm) => vm.id);
const code = (answer: { ok: boolean; fault?: { code: string } }): string => (answer.ok ? 'OK' : answer.fault?.code ?? '');

describe('a VM in the recycle bin', () => {
  it('keeps its disk, MAC and address, gives its name free, and is listed only there', async () => {
    const name = `web-${newUuid()}`.slice(0, 40);
    const vmId = await recycled(name);
    const { recycled: bin, status } = await vmOf(vmId);
    expect([status.state, Date.parse(bin!.purgeAt) - Date.parse(bin!.at)]).toEqual(['stopped', 7 * 86_400_000]);
    expect(await world.traces(vmId)).toMatchObject({ row: true, volumes: 1, ports: 1, claim: false, uids: 1, addresses: 1, locks: 0 });
    expect([(await listed({})).includes(vmId), (await listed({ recycled: true })).includes(vmId), (await listed({ name }))]).toEqual([false, true, []]);
    orThrow(await vms.create(createVm.input.parse({ name, start: false }), asService()));
  });

  it('is out of reach of every operation but restore and purge', async () => {
    const vmId = await recycled(`r-${newUuid()}`);
    const answers = await Promise.all([vms.start({ vmId, discardMemory: false }, asService()), vms.update({ vmId, name: 'other' }, asService()), vms.delete({ vmId, force: true, purge: true }, asService())]);
    expect(answers.map(code)).toEqual(['WRONG_STATE', 'WRONG_STATE', 'WRONG_STATE']);
    const live = await world.vm('stopped');
    expect([code(await vms.restore({ vmId: live }, asService())), code(await vms.purge({ vmId: live }, asService()))]).toEqual(['WRONG_STATE', 'WRONG_STATE']);
  });

  it('comes back under its name, under another one where that is taken, and starts', async () => {
    const name = `x-${newUuid()}`;
    const [first, second, third] = [await recycled(name), await recycled(name), await recycled(name)];
    expect(orThrow(await vms.restore({ vmId: first }, asService()))).toMatchObject({ name, recycled: null, status: { state: 'stopped' } });
    expect(orThrow(await vms.restore({ vmId: second }, asService())).name).toBe(`${name}-restored`);
    expect(code(await vms.restore({ vmId: third, name }, asService()))).toBe('NAME_TAKEN');
    const { name: last, number } = orThrow(await vms.restore({ vmId: third }, asService()));
    expect(last).toBe(`${name}-restored-${number}`);
    orThrow(await vms.start({ vmId: third, discardMemory: false }, asService()));
    await settled(third);
    expect((await vmOf(third)).status.state).toBe('running');
  });

  it('comes back once with one key, however often it is asked', async () => {
    const vmId = await recycled(`k-${newUuid()}`);
    const ctx = asService();
    const first = orThrow(await vms.restore({ vmId }, ctx));
    expect(orThrow(await vms.restore({ vmId }, ctx))).toEqual(first);
    expect(code(await vms.restore({ vmId }, asService()))).toBe('WRONG_STATE');
  });

  it('is purged by hand, and then nothing is left', async () => {
    const vmId = await recycled(`p-${newUuid()}`);
    orThrow(await vms.purge({ vmId }, asService()));
    await settled(vmId);
    expect(await world.traces(vmId)).toMatchObject({ row: false, volumes: 0, ports: 0, uids: 0, addresses: 0, tombstone: true });
  });

  it('can be without the disks that were to be kept; the others stay with it', async () => {
    const vmId = await world.vm('stopped', { name: 'keeper' });
    const [disk] = (await vmOf(vmId)).spec.disks;
    expect(code(await vms.delete({ vmId, force: false, purge: false, keepDisks: newUuid() }, asService()))).toBe('INVALID_ARGUMENT');
    orThrow(await vms.delete({ vmId, force: false, purge: false, keepDisks: disk!.diskId }, asService()));
    await settled(vmId);
    expect([world.free.get(disk!.volumeId), (await vmOf(vmId)).spec.disks]).toEqual(['keeper disk 0', []]);
  });
});

describe('the hold time', () => {
  const turn = () => recycleBinReconciler(world.scene.db, world.bus.of('compute')).run(new AbortController().signal);
  const due = (vmId: string) => execute(world.scene.db, 'UPDATE vm SET purge_at = UTC_TIMESTAMP(3) - INTERVAL 1 SECOND WHERE id = ?', [vmId]);
  const deletions = (vmId: string) => selectRows(world.scene.db, "SELECT id FROM task WHERE object_id = ? AND kind = 'compute.vm.delete'", [vmId]);

  it('when over, purges the VM once, by however many replicas, and no other', async () => {
    const [over, held] = [await recycled(`o-${newUuid()}`), await recycled(`h-${newUuid()}`)];
    await due(over);
    await Promise.all([turn(), turn(), turn()]);
    await settled(over);
    await turn();
    expect([(await world.traces(over) as { tombstone: boolean }).tombstone, (await deletions(over)).length]).toEqual([true, 1]);
    expect([(await vmOf(held)).recycled !== null, (await deletions(held)).length]).toEqual([true, 0]);
  });

  it('lets a VM that cannot be purged rest before it is tried again', async () => {
    const vmId = await recycled(`s-${newUuid()}`);
    await due(vmId);
    await execute(world.scene.db, "UPDATE vm SET state = 'unknown' WHERE id = ?", [vmId]);
    await turn();
    await execute(world.scene.db, "UPDATE vm SET state = 'stopped' WHERE id = ?", [vmId]);
    await turn();
    expect(await deletions(vmId)).toEqual([]);
    await execute(world.scene.db, 'UPDATE vm SET purge_tried_at = UTC_TIMESTAMP(3) - INTERVAL 11 MINUTE WHERE id = ?', [vmId]);
    await turn();
    await settled(vmId);
    expect(await deletions(vmId)).toHaveLength(1);
  });

  it('is the cluster’s, else the site’s; 0 deletes at once', async () => {
    const clusters = new ClusterHandlers(world.scene.db);
    orThrow(await clusters.renameSite(updateSite.input.parse({ recycleHoldMs: 60_000 }), asService()));
    const bin = (await vmOf(await recycled(`a-${newUuid()}`))).recycled!;
    expect(Date.parse(bin.purgeAt) - Date.parse(bin.at)).toBe(60_000);
    orThrow(await clusters.update(updateCluster.input.parse({ clusterId: world.clusterId, recycleHoldMs: 0 }), asService()));
    const gone = await recycled(`b-${newUuid()}`);
    expect(await world.traces(gone)).toMatchObject({ row: false, volumes: 0, tombstone: true });
  });
});
