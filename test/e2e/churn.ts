// VMs that come and go while somebody looks for differences: made, held still, put to sleep and woken, switched off, changed, started and
// deleted, over and over. Nothing of it may ever be a difference.
import { attachDisk, attachNic, createVolume, deleteVm, deleteVolume, hibernateVm, listDrift, pauseVm, powerOffVm, resumeVm, startVm } from '#contracts';
import type { DriftFinding, Operation } from '#contracts';
import { deploy } from './vms.ts';
import { MiB } from './world.ts';
import type { World } from './world.ts';

export interface Churned { readonly rounds: number; readonly tasks: number }

/** Goes round in `lanes` lanes until `over` says so; each task must succeed. */
export async function churn(world: World, lanes: number, over: () => boolean): Promise<Churned> {
  const { rest, record, prefix } = world;
  let [rounds, tasks] = [0, 0];
  const lane = async (index: number): Promise<void> => {
    for (let round = 0; !over(); round++) {
      const name = `churn-${index}-${round}`;
      const vm = await deploy(world, name, { memoryBytes: 64 * MiB, deploy: round % 3 === 0 ? 'full' : 'linked' });
      const steps: readonly [Operation, object][] = [
        [pauseVm, {}], [resumeVm, {}], [hibernateVm, {}], [startVm, {}], [powerOffVm, {}],
        [attachNic, { portGroupId: record.otherNetwork.portGroupId }], [attachDisk, { sizeBytes: 8 * MiB }], [startVm, {}],
      ];
      for (const [operation, more] of steps) await rest.carryOut(operation, { vmId: vm.id, ...more });
      const volume = await rest.ask(createVolume, { name: `${prefix}-${name}`, datastoreId: record.datastore.id, sizeBytes: 8 * MiB });
      await rest.succeeded(volume);
      await rest.carryOut(deleteVolume, { volumeId: volume.objectId });
      await rest.carryOut(deleteVm, { vmId: vm.id, force: true, purge: true });
      rounds += 1;
      tasks += steps.length + 4;
    }
  };
  await Promise.all(Array.from({ length: lanes }, (_, index) => lane(index)));
  return { rounds, tasks };
}

export const allFindings = async ({ rest }: World): Promise<DriftFinding[]> => {
  const all: DriftFinding[] = [];
  for (let cursor: string | undefined; ;) {
    const page = await rest.ask(listDrift, { limit: 500, ...(cursor === undefined ? {} : { cursor }) });
    all.push(...page.items);
    if (page.next === null) return all;
    cursor = page.next;
  }
};
