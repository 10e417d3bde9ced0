// One row per kind of task: what it takes from the stage, and how one is begun on it. A new kind needs a row here; the
// tests that kill things take the rows from here and say which one is missing.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  attachDisk, attachNic, changeNic, copyVolume, createSwitch, createVm, createVolume, deleteImage, deleteSwitch, deleteVm, deleteVolume, detachDisk, detachNic, hibernateVm, modifyVm, pauseVm, powerOffVm, rebootVm, resetVm, resumeVm, startVm, stopVm, TaskRef,
  updateSwitch,
} from '#contracts';
import type { getSwitch, Image, ImageId, Operation, ReplyOf, Vm, Volume } from '#contracts';
import type { Rest } from '../e2e/rest.ts';
import { small } from '../e2e/vms.ts';
import { MiB } from '../e2e/world.ts';
import type { World } from '../e2e/world.ts';

/** What a task can be given to work on, by what it is called in the rows. */
export interface Objects {
  readonly nothing: null;
  readonly stopped: Vm;
  readonly running: Vm;
  readonly paused: Vm;
  readonly hibernated: Vm;
  /** Attached to nothing. */
  readonly volume: Volume;
  /** Ready. */
  readonly image: Image;
  /** An image that waits for its bytes. */
  readonly upload: Image;
  readonly switch: ReplyOf<typeof getSwitch>;
}
export type Supply = keyof Objects;
export type Pools = { readonly [S in Supply]: Objects[S][] };

/** Begins the task; `name` is nobody else's. */
export type Begin = (name: string) => Promise<TaskRef>;
export interface Row {
  readonly takes: Supply;
  /** Takes what suits it best out of its pool; undefined when nothing there does. */
  pick(pools: Pools): Begin | undefined;
}

/** `cost` says what suits: the lowest first, and what costs `Infinity` never. */
function on<S extends Supply>(takes: S, begin: (object: Objects[S], name: string) => Promise<unknown>, cost: (object: Objects[S]) => number = () => 0): Row {
  return {
    takes,
    pick: (pools) => {
      const pool: Objects[S][] = pools[takes];
      const best = [...pool].sort((a, b) => cost(a) - cost(b))[0];
      if (best === undefined || cost(best) === Infinity) return undefined;
      pool.splice(pool.indexOf(best), 1);
      return async (name) => TaskRef.parse(await begin(best, name));
    },
  };
}

/** Kinds that run only as the child of another one's task: their row begins the parent. */
export const begunBy: Readonly<Record<string, string>> = { 'storage.volume.ingest': 'templates.image.import' };

/** Kinds whose task may end as failed, with everything undone, when the QEMU that it works on dies under it. */
export const mayFailWithoutQemu: ReadonlySet<string> = new Set(['create', 'start', 'stop', 'power-off', 'reboot', 'pause', 'resume', 'reset', 'hibernate', 'wake'].map((verb) => `compute.vm.${verb}`));

/** The kinds that the sources of the services declare. */
export function declaredKinds(repo: string): string[] {
  const dir = join(repo, 'services');
  const found = readdirSync(dir, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.tasks?\.ts$/.test(entry.name))
    .flatMap((entry) => [...readFileSync(join(entry.parentPath, entry.name), 'utf8').matchAll(/kind: '([a-z-]+(?:\.[a-z-]+){2})'/g)].map(([, kind]) => kind!));
  return [...new Set(found)].sort();
}

/** Declared kinds that have no row, in words. */
export const withoutRow = (rows: Readonly<Record<string, Row>>, declared: readonly string[]): string[] =>
  declared.filter((kind) => !(kind in rows)).map((kind) => `${kind} has no row in test/faults/kinds.ts`);

/** Uploads a small raw image; answers the task that takes it in. */
export async function sendImage(rest: Rest, imageId: ImageId): Promise<TaskRef> {
  const sent = await rest.send('PUT', `/v1/images/${imageId}/content`, { rawBody: new Uint8Array(4 * MiB).fill(7), headers: { 'content-type': 'application/octet-stream', 'idempotency-key': imageId } });
  if (sent.status !== 202) throw new Error(`the upload was refused: ${sent.text}`);
  return TaskRef.parse(sent.body);
}

/** How a task of each kind is begun; `ask` says by which door. */
export function rowsOf(world: World, ask: (operation: Operation, input: Readonly<Record<string, unknown>>) => Promise<unknown> = (operation, input) => world.rest.ask(operation, input)): Readonly<Record<string, Row>> {
  const { rest, record } = world;
  const otherGroup = (vm: Vm): string => [record.network, record.otherNetwork].find(({ portGroupId }) => portGroupId !== vm.spec.nics[0]?.portGroupId)!.portGroupId;
  const fewest = (what: 'disks' | 'nics') => (vm: Vm): number => vm.spec[what].length;
  const most = (what: 'disks' | 'nics') => (vm: Vm): number => (vm.spec[what].length === 0 ? Infinity : -vm.spec[what].length);
  return {
    'compute.vm.create': on('nothing', (_, name) => ask(createVm, { ...small(world, name), ...tiny, name })),
    'compute.vm.start': on('stopped', ({ id }) => ask(startVm, { vmId: id })),
    'compute.vm.stop': on('running', ({ id }) => ask(stopVm, { vmId: id, graceMs: 1_000 })),
    'compute.vm.power-off': on('running', ({ id }) => ask(powerOffVm, { vmId: id })),
    'compute.vm.reboot': on('running', ({ id }) => ask(rebootVm, { vmId: id, graceMs: 1_000 })),
    'compute.vm.pause': on('running', ({ id }) => ask(pauseVm, { vmId: id })),
    'compute.vm.resume': on('paused', ({ id }) => ask(resumeVm, { vmId: id })),
    'compute.vm.reset': on('running', ({ id }) => ask(resetVm, { vmId: id })),
    'compute.vm.hibernate': on('running', ({ id }) => ask(hibernateVm, { vmId: id })),
    'compute.vm.wake': on('hibernated', ({ id }) => ask(startVm, { vmId: id })),
    'compute.vm.delete': on('stopped', ({ id }) => ask(deleteVm, { vmId: id, purge: true })),
    'compute.vm.recycle': on('running', ({ id }) => ask(deleteVm, { vmId: id, force: true })),
    'compute.vm.attach-disk': on('stopped', ({ id }) => ask(attachDisk, { vmId: id, sizeBytes: 8 * MiB }), fewest('disks')),
    'compute.vm.attach-nic': on('stopped', ({ id }) => ask(attachNic, { vmId: id, portGroupId: record.network.portGroupId }), fewest('nics')),
    'compute.vm.detach-disk': on('stopped', ({ id, spec }) => ask(detachDisk, { vmId: id, diskId: spec.disks[0]?.diskId, keep: false }), most('disks')),
    'compute.vm.detach-nic': on('stopped', ({ id, spec }) => ask(detachNic, { vmId: id, nicId: spec.nics[0]?.nicId }), most('nics')),
    'compute.vm.change-nic': on('stopped', (vm) => ask(changeNic, { vmId: vm.id, nicId: vm.spec.nics[0]?.nicId, portGroupId: otherGroup(vm) }), (vm) => (vm.spec.nics.length === 0 ? Infinity : 0)),
    'compute.vm.modify': on('stopped', ({ id, spec }) => ask(modifyVm, { vmId: id, memoryBytes: spec.memoryBytes === tiny.memoryBytes ? 2 * tiny.memoryBytes : tiny.memoryBytes })),
    'storage.volume.create': on('nothing', (_, name) => ask(createVolume, { name, datastoreId: record.datastore.id, sizeBytes: 8 * MiB })),
    'storage.volume.copy': on('volume', ({ id }, name) => ask(copyVolume, { volumeId: id, name })),
    'storage.volume.delete': on('volume', ({ id }) => ask(deleteVolume, { volumeId: id })),
    'storage.volume.ingest': on('upload', ({ id }) => sendImage(rest, id)),
    'templates.image.import': on('upload', ({ id }) => sendImage(rest, id)),
    'templates.image.delete': on('image', ({ id }) => ask(deleteImage, { imageId: id })),
    'network.switch.create': on('nothing', (_, name) => ask(createSwitch, { name })),
    'network.switch.update': on('switch', ({ id, mtu }) => ask(updateSwitch, { switchId: id, mtu: mtu === 1_500 ? 1_400 : 1_500 })),
    'network.switch.delete': on('switch', ({ id }) => ask(deleteSwitch, { switchId: id })),
  };
}

/** What a VM of the stage has: enough for QEMU and its firmware, which is all that its tasks need. */
export const tiny = { memoryBytes: 16 * MiB, bootOrder: ['cdrom'] } as const;
