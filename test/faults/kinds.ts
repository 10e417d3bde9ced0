// One row per kind of task: how one is begun. A new kind needs a row here, and what it works on in the stage; the tests
// that kill things take the rows from here and say which one is missing.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  attachDisk, attachNic, changeNic, copyVolume, createImage, createSwitch, createVm, createVolume, deleteImage, deleteSwitch, deleteVm, deleteVolume, detachDisk, detachNic, getVm, hibernateVm, listSwitches, listVolumes, modifyVm, pauseVm, powerOffVm, rebootVm, resetVm, resumeVm, startVm, stopVm,
  TaskRef, updateSwitch,
} from '#contracts';
import type { Image, ImageId, Operation, SwitchId, Vm, VmId, VolumeId } from '#contracts';
import { removeOwn, small } from '../e2e/vms.ts';
import { MiB } from '../e2e/world.ts';
import type { World } from '../e2e/world.ts';

/** Objects for one task of each kind. */
export interface Stage {
  /** What each name is, the table of `stageVms` says. */
  readonly vm: Readonly<Record<keyof typeof stageVms, VmId>>;
  /** Stopped, with what is taken out of them. */
  readonly shrink: Readonly<Record<'disk' | 'nic' | 'rewire', Vm>>;
  readonly volume: Readonly<Record<'copy' | 'delete', VolumeId>>;
  readonly image: Readonly<Record<'import' | 'delete', ImageId>>;
  readonly switch: Readonly<Record<'update' | 'delete', SwitchId>>;
}

/** The VMs of a stage: whether each runs, and what else is done to it before. Their disks are blank: what they are here for is their tasks. */
const stageVms = {
  stop: { runs: true }, cut: { runs: true }, reboot: { runs: true }, start: { runs: false }, delete: { runs: false }, recycle: { runs: true },
  grow: { runs: false }, plug: { runs: false }, modify: { runs: false },
  pause: { runs: true }, resume: { runs: true, then: pauseVm }, reset: { runs: true }, hibernate: { runs: true }, wake: { runs: true, then: hibernateVm },
} as const satisfies Readonly<Record<string, { runs: boolean; then?: Operation }>>;

export type Begin = (stage: Stage, round: number) => Promise<TaskRef>;
export interface Kinds {
  readonly table: Readonly<Record<string, Begin>>;
  /** Makes a stage; `round` tells the names of one from those of another. */
  prepare(round: number): Promise<Stage>;
  /** Removes all of every stage. */
  clear(): Promise<void>;
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
export const withoutRow = (kinds: Kinds, declared: readonly string[]): string[] =>
  declared.filter((kind) => !(kind in kinds.table)).map((kind) => `${kind} has no row in test/faults/kinds.ts`);

export function kindsOf(world: World): Kinds {
  const { rest, record } = world;
  const named = (name: string, round: number): string => `${world.prefix}-${name}-${round}`;
  const by = (operation: Operation, input: (stage: Stage, round: number) => Readonly<Record<string, unknown>>): Begin =>
    async (stage, round) => TaskRef.parse(await rest.ask(operation, input(stage, round)));

  /** Uploads a small raw image; answers the task that takes it in. */
  async function send(imageId: ImageId): Promise<TaskRef> {
    const sent = await rest.send('PUT', `/v1/images/${imageId}/content`, { rawBody: new Uint8Array(4 * MiB).fill(7), headers: { 'content-type': 'application/octet-stream', 'idempotency-key': imageId } });
    if (sent.status !== 202) throw new Error(`the upload was refused: ${sent.text}`);
    return TaskRef.parse(sent.body);
  }

  /** How a task of each kind is begun. */
  const table: Readonly<Record<string, Begin>> = {
    'compute.vm.create': by(createVm, (_, round) => small(world, `new-${round}`, { memoryBytes: 96 * MiB })),
    'compute.vm.start': by(startVm, ({ vm }) => ({ vmId: vm.start })),
    'compute.vm.stop': by(stopVm, ({ vm }) => ({ vmId: vm.stop, graceMs: 2_000 })),
    'compute.vm.power-off': by(powerOffVm, ({ vm }) => ({ vmId: vm.cut })),
    'compute.vm.reboot': by(rebootVm, ({ vm }) => ({ vmId: vm.reboot, graceMs: 2_000 })),
    'compute.vm.pause': by(pauseVm, ({ vm }) => ({ vmId: vm.pause })),
    'compute.vm.resume': by(resumeVm, ({ vm }) => ({ vmId: vm.resume })),
    'compute.vm.reset': by(resetVm, ({ vm }) => ({ vmId: vm.reset })),
    'compute.vm.hibernate': by(hibernateVm, ({ vm }) => ({ vmId: vm.hibernate })),
    'compute.vm.wake': by(startVm, ({ vm }) => ({ vmId: vm.wake })),
    'compute.vm.delete': by(deleteVm, ({ vm }) => ({ vmId: vm.delete, purge: true })),
    'compute.vm.recycle': by(deleteVm, ({ vm }) => ({ vmId: vm.recycle, force: true })),
    'compute.vm.attach-disk': by(attachDisk, ({ vm }) => ({ vmId: vm.grow, sizeBytes: 8 * MiB })),
    'compute.vm.attach-nic': by(attachNic, ({ vm }) => ({ vmId: vm.plug, portGroupId: record.network.portGroupId })),
    'compute.vm.detach-disk': by(detachDisk, ({ shrink: { disk } }) => ({ vmId: disk.id, diskId: disk.spec.disks[0]?.diskId, keep: false })),
    'compute.vm.detach-nic': by(detachNic, ({ shrink: { nic } }) => ({ vmId: nic.id, nicId: nic.spec.nics[0]?.nicId })),
    'compute.vm.change-nic': by(changeNic, ({ shrink: { rewire } }) => ({ vmId: rewire.id, nicId: rewire.spec.nics[0]?.nicId, portGroupId: record.otherNetwork.portGroupId })),
    'compute.vm.modify': by(modifyVm, ({ vm }) => ({ vmId: vm.modify, memoryBytes: 128 * MiB })),
    'storage.volume.create': by(createVolume, (_, round) => ({ name: named('new', round), datastoreId: record.datastore.id, sizeBytes: 8 * MiB })),
    'storage.volume.copy': by(copyVolume, ({ volume }, round) => ({ volumeId: volume.copy, name: named('copied', round) })),
    'storage.volume.delete': by(deleteVolume, ({ volume }) => ({ volumeId: volume.delete })),
    'storage.volume.ingest': ({ image }) => send(image.import),
    'templates.image.import': ({ image }) => send(image.import),
    'templates.image.delete': by(deleteImage, ({ image }) => ({ imageId: image.delete })),
    'network.switch.create': by(createSwitch, (_, round) => ({ name: named('new', round) })),
    'network.switch.update': by(updateSwitch, ({ switch: { update } }) => ({ switchId: update, mtu: 1400 })),
    'network.switch.delete': by(deleteSwitch, ({ switch: { delete: gone } }) => ({ switchId: gone })),
  };

  async function prepare(round: number): Promise<Stage> {
    const blank = async (name: string, start: boolean): Promise<VmId> => (await rest.carryOut(createVm, {
      name: named(name, round), memoryBytes: 96 * MiB, disks: [{ sizeBytes: 8 * MiB }], nics: [{ portGroupId: record.network.portGroupId }], start,
    })).object.id as VmId;
    const made = async (name: string, { runs, then }: { runs: boolean; then?: Operation }): Promise<[string, VmId]> => {
      const vmId = await blank(name, runs);
      if (then !== undefined) await rest.carryOut(then, { vmId });
      return [name, vmId];
    };
    const full = async (name: string): Promise<Vm> => rest.ask(getVm, { vmId: await blank(name, false) });
    const volume = async (name: string): Promise<VolumeId> => (await rest.carryOut(createVolume, { name: named(name, round), datastoreId: record.datastore.id, sizeBytes: MiB })).object.id as VolumeId;
    const image = (name: string): Promise<Image> => rest.ask(createImage, { name: named(name, round), format: 'raw' });
    const leave = async (): Promise<Image> => {
      const made = await image('leave');
      await rest.succeeded(await send(made.id));
      return made;
    };
    const network = async (name: string): Promise<SwitchId> => (await rest.carryOut(createSwitch, { name: named(name, round) })).object.id as SwitchId;
    const [vms, disk, nic, rewire, copy, dropped, arriving, leaving, changed, removed] = await Promise.all([
      Promise.all(Object.entries(stageVms).map(([name, plan]) => made(name, plan))),
      full('less-disk'), full('less-nic'), full('rewire'), volume('copy'), volume('drop'), image('import'), leave(), network('change'), network('remove'),
    ]);
    return {
      vm: Object.fromEntries(vms) as Stage['vm'], shrink: { disk, nic, rewire },
      volume: { copy, delete: dropped }, image: { import: arriving.id, delete: leaving.id }, switch: { update: changed, delete: removed },
    };
  }

  async function clear(): Promise<void> {
    await removeOwn(world);
    const own = <T extends { name: string }>({ items }: { items: T[] }): T[] => items.filter(({ name }) => name.startsWith(world.prefix));
    await Promise.all([
      ...own(await rest.ask(listVolumes, { limit: 500 })).map(({ id }) => rest.carryOut(deleteVolume, { volumeId: id })),
      ...own(await rest.ask(listSwitches, { limit: 500 })).map(({ id }) => rest.carryOut(deleteSwitch, { switchId: id })),
    ]);
  }

  return { table, prepare, clear };
}
