// What the users of a chaos run do: every kind of task by the rows of the kill matrix, and what has no task beside it.
import { attachDisk, createImage, createPortGroup, createTemplate, createVm, deletePortGroup, deleteTemplate, detachDisk, TaskRef, updatePortGroup, updateVm } from '#contracts';
import type { ImageId, Operation, PortGroupId, TemplateId, Vm } from '#contracts';
import { eventually } from '../e2e/eventually.ts';
import { small } from '../e2e/vms.ts';
import type { World } from '../e2e/world.ts';
import { rowsOf, sendImage, tiny } from '../faults/kinds.ts';
import type { Pools } from '../faults/kinds.ts';

/** Asks under a key of its own, by the door that the plan says. */
export type Asks = (operation: Operation, input: Readonly<Record<string, unknown>>) => Promise<unknown>;
/** Takes what it needs out of the pools; undefined when it is not there. The tasks that it has begun are answered. */
export type Deed = (pools: Pools, name: string) => (() => Promise<readonly TaskRef[]>) | undefined;

/** Begun by the task of another kind, and what takes two steps here. */
const notByItself = ['storage.volume.ingest', 'templates.image.import'];
const UPLOAD_WITHIN_MS = 240_000;

export function deedsOf(world: World, ask: Asks): Readonly<Record<string, Deed>> {
  const task = async (operation: Operation, input: Readonly<Record<string, unknown>>): Promise<TaskRef[]> => [TaskRef.parse(await ask(operation, input))];
  const idOf = (reply: unknown): string => {
    const { id, objectId } = reply as { id?: string; objectId?: string };
    return id ?? objectId ?? '';
  };
  const kinds = Object.entries(rowsOf(world, ask)).filter(([kind]) => !notByItself.includes(kind)).map(([kind, row]) => [kind, (pools: Pools, name: string) => {
    const begin = row.pick(pools);
    return begin && (async () => [await begin(name)]);
  }] as const);
  return {
    ...Object.fromEntries(kinds),
    'templates.image.import': (_, name) => async () => {
      const imageId = idOf(await ask(createImage, { name, format: 'raw' })) as ImageId;
      // An upload that broke off is sent again from its start.
      return [await eventually('the upload is taken', () => sendImage(world.rest, imageId), { withinMs: UPLOAD_WITHIN_MS, everyMs: 500 })];
    },
    'deploy, full copy': (_, name) => () => task(createVm, { ...small(world, name), ...tiny, name, deploy: 'full' }),
    'attach a volume': (pools) => {
      const [vm, volume] = pools.stopped.length > 0 && pools.volume.length > 0 ? [pools.stopped.shift(), pools.volume.shift()] : [];
      return vm && volume && (() => task(attachDisk, { vmId: vm.id, volumeId: volume.id }));
    },
    'detach a volume': (pools) => {
      const at = pools.stopped.findIndex(({ spec }) => spec.disks.length > 1);
      const [vm] = at < 0 ? [] : pools.stopped.splice(at, 1);
      return vm && (() => task(detachDisk, { vmId: vm.id, diskId: vm.spec.disks.at(-1)?.diskId, keep: true }));
    },
    'rename a VM': (pools, name) => {
      const vm: Vm | undefined = pools.stopped.shift() ?? pools.running.shift();
      return vm && (async () => { await ask(updateVm, { vmId: vm.id, name, labels: { chaos: 'yes' } }); return []; });
    },
    'port group: made, renamed, deleted': (_, name) => async () => {
      const portGroupId = idOf((await ask(createPortGroup, { switchId: world.record.network.switchId, name, vlan: 300 }))) as PortGroupId;
      await ask(updatePortGroup, { portGroupId, name: `${name}-b` });
      await ask(deletePortGroup, { portGroupId });
      return [];
    },
    'template: made, deleted': (_, name) => async () => {
      const templateId = idOf(await ask(createTemplate, { name, imageId: world.record.template.imageId })) as TemplateId;
      await ask(deleteTemplate, { templateId });
      return [];
    },
  };
}
