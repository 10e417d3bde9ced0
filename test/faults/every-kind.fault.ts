// Every kind of task that there is, at work at the same time, and every service that works on them killed at once: each
// task succeeds without hands. The kinds are read from the sources, so a new one cannot be forgotten here.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  attachDisk, attachNic, changeNic, copyVolume, createImage, createSwitch, createVm, createVolume, deleteImage, deleteSwitch, deleteVm, deleteVolume, detachDisk, detachNic, endStates, getImage, getVm, listSwitches, listTasks, listVolumes, modifyVm, hibernateVm, pauseVm, powerOffVm, rebootVm, resetVm, resumeVm, startVm, stopVm,
  TaskRef, taskServices, updateSwitch,
} from '#contracts';
import type { Image, ImageId, Operation, SwitchId, Vm, VmId, VolumeId } from '#contracts';
import { eventually } from '../e2e/eventually.ts';
import { crash, startAgain, waitReady } from '../e2e/lab.mjs';
import { deploy, removeOwn, small } from '../e2e/vms.ts';
import { MiB, openWorld } from '../e2e/world.ts';
import type { World } from '../e2e/world.ts';

let world: World;
beforeAll(async () => { world = await openWorld('kinds'); });
afterAll(async () => {
  await waitReady(world.lab);
  await removeOwn(world);
  const { rest, prefix } = world;
  for (const { id } of (await rest.ask(listVolumes, { limit: 500 })).items.filter((one) => one.name.startsWith(prefix))) await rest.carryOut(deleteVolume, { volumeId: id });
  for (const { id } of (await rest.ask(listSwitches, { limit: 500 })).items.filter((one) => one.name.startsWith(prefix))) await rest.carryOut(deleteSwitch, { switchId: id });
}, 120_000);

/** The kinds that the services declare. */
function declaredKinds(dir = join(world.lab.repo, 'services')): string[] {
  return readdirSync(dir, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.tasks?\.ts$/.test(entry.name))
    .flatMap((entry) => [...readFileSync(join(entry.parentPath, entry.name), 'utf8').matchAll(/kind: '([a-z-]+(?:\.[a-z-]+){2})'/g)].map(([, kind]) => kind!));
}

/** Objects for one task of each kind. */
interface Stage {
  readonly vm: Readonly<Record<'stop' | 'cut' | 'reboot' | 'start' | 'delete' | 'recycle' | 'pause' | 'resume' | 'reset' | 'hibernate' | 'wake' | 'grow' | 'plug' | 'modify', VmId>>;
  /** Stopped, with what is taken out of them. */
  readonly shrink: Readonly<Record<'disk' | 'nic' | 'rewire', Vm>>;
  readonly volume: Readonly<Record<'copy' | 'delete', VolumeId>>;
  readonly image: Readonly<Record<'import' | 'delete', ImageId>>;
  readonly switch: Readonly<Record<'update' | 'delete', SwitchId>>;
}

const named = (name: string, round: number): string => `${world.prefix}-${name}-${round}`;

async function prepare(round: number): Promise<Stage> {
  const { rest, record } = world;
  const vm = async (name: string, start: boolean): Promise<VmId> => (await deploy(world, `${name}-${round}`, { start, memoryBytes: 96 * MiB })).id;
  const volume = async (name: string): Promise<VolumeId> => (await rest.carryOut(createVolume, { name: named(name, round), datastoreId: record.datastore.id, sizeBytes: MiB })).object.id as VolumeId;
  const image = (name: string): Promise<Image> => rest.ask(createImage, { name: named(name, round), format: 'raw' });
  const network = async (name: string): Promise<SwitchId> => (await rest.carryOut(createSwitch, { name: named(name, round) })).object.id as SwitchId;
  const [stop, cut, reboot, start, gone, recycle] = await Promise.all([vm('stop', true), vm('cut', true), vm('reboot', true), vm('start', false), vm('delete', false), vm('recycle', true)]);
  const [grow, plug, modified, lessDisk, lessNic, rewired] = await Promise.all([vm('grow', false), vm('plug', false), vm('modify', false), vm('less-disk', false), vm('less-nic', false), vm('rewire', false)]);
  const [pause, paused, reset, sleepy, asleep] = await Promise.all([vm('pause', true), vm('resume', true), vm('reset', true), vm('hibernate', true), vm('wake', true)]);
  await Promise.all([rest.carryOut(pauseVm, { vmId: paused }), rest.carryOut(hibernateVm, { vmId: asleep })]);
  const [copy, dropped, arriving, leaving, changed, removed] = await Promise.all([volume('copy'), volume('drop'), image('import'), image('leave'), network('change'), network('remove')]);
  await rest.succeeded(await send(leaving.id));
  return {
    vm: { stop, cut, reboot, start, delete: gone, recycle, pause, resume: paused, reset, hibernate: sleepy, wake: asleep, grow, plug, modify: modified },
    shrink: { disk: await rest.ask(getVm, { vmId: lessDisk }), nic: await rest.ask(getVm, { vmId: lessNic }), rewire: await rest.ask(getVm, { vmId: rewired }) },
    volume: { copy, delete: dropped }, image: { import: arriving.id, delete: leaving.id }, switch: { update: changed, delete: removed },
  };
}

/** Uploads a small raw image; answers the task that takes it in. */
async function send(imageId: ImageId): Promise<TaskRef> {
  const sent = await world.rest.send('PUT', `/v1/images/${imageId}/content`, { rawBody: new Uint8Array(4 * MiB).fill(7), headers: { 'content-type': 'application/octet-stream', 'idempotency-key': imageId } });
  if (sent.status !== 202) throw new Error(`the upload was refused: ${sent.text}`);
  return TaskRef.parse(sent.body);
}

const by = (operation: Operation, input: (stage: Stage, round: number) => Readonly<Record<string, unknown>>) =>
  async (stage: Stage, round: number): Promise<TaskRef> => TaskRef.parse(await world.rest.ask(operation, input(stage, round)));

/** How a task of each kind is begun; `ingest` is a child of the import. */
const table: Readonly<Record<string, (stage: Stage, round: number) => Promise<TaskRef>>> = {
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
  'compute.vm.attach-nic': by(attachNic, ({ vm }) => ({ vmId: vm.plug, portGroupId: world.record.network.portGroupId })),
  'compute.vm.detach-disk': by(detachDisk, ({ shrink: { disk } }) => ({ vmId: disk.id, diskId: disk.spec.disks[0]?.diskId, keep: false })),
  'compute.vm.detach-nic': by(detachNic, ({ shrink: { nic } }) => ({ vmId: nic.id, nicId: nic.spec.nics[0]?.nicId })),
  'compute.vm.change-nic': by(changeNic, ({ shrink: { rewire } }) => ({ vmId: rewire.id, nicId: rewire.spec.nics[0]?.nicId, portGroupId: world.record.otherNetwork.portGroupId })),
  'compute.vm.modify': by(modifyVm, ({ vm }) => ({ vmId: vm.modify, memoryBytes: 128 * MiB })),
  'storage.volume.create': by(createVolume, (_, round) => ({ name: named('new', round), datastoreId: world.record.datastore.id, sizeBytes: 8 * MiB })),
  'storage.volume.copy': by(copyVolume, ({ volume }, round) => ({ volumeId: volume.copy, name: named('copied', round) })),
  'storage.volume.delete': by(deleteVolume, ({ volume }) => ({ volumeId: volume.delete })),
  'storage.volume.ingest': ({ image }) => send(image.import),
  'templates.image.import': ({ image }) => send(image.import),
  'templates.image.delete': by(deleteImage, ({ image }) => ({ imageId: image.delete })),
  'network.switch.create': by(createSwitch, (_, round) => ({ name: named('new', round) })),
  'network.switch.update': by(updateSwitch, ({ switch: { update } }) => ({ switchId: update, mtu: 1400 })),
  'network.switch.delete': by(deleteSwitch, ({ switch: { delete: gone } }) => ({ switchId: gone })),
};

/** When the services are killed: how many steps of the open tasks are done by then. */
const moments: readonly (readonly [string, number])[] = [['at once', 0], ['after the first steps', 4], ['further on', 12]];

describe('F28: every kind of task', () => {
  it('has a row here', () => {
    expect(Object.keys(table).sort()).toEqual([...new Set(declaredKinds())].sort());
  });

  it.each(moments)('succeeds when all services that work on tasks are killed %s', async (_, stepsDone) => {
    const round = stepsDone;
    const stage = await prepare(round);
    const begun = Object.entries(table).filter(([kind]) => kind !== 'storage.volume.ingest');
    const refs = await Promise.all(begun.map(([, start]) => start(stage, round)));
    const ids = new Set<string>(refs.map((ref) => ref.taskId));
    await eventually('so many steps are done', async () => {
      const own = (await world.rest.ask(listTasks, { limit: 200 })).items.filter((task) => ids.has(task.id));
      const steps = own.flatMap((task) => task.steps).filter((step) => step.state === 'done').length;
      return steps >= stepsDone && (stepsDone === 0 || own.some((task) => !endStates.includes(task.state)));
    }, { everyMs: 20 });
    await Promise.all(taskServices.map((service) => crash(world.lab, service)));
    for (const service of taskServices) startAgain(world.lab, service);
    await waitReady(world.lab);
    const tasks = await Promise.all(refs.map((ref) => world.rest.ended(ref)));
    expect(tasks.map((task) => [task.kind, task.state, task.error])).toEqual(begun.map(([kind]) => [kind, 'succeeded', null]));
    expect(await world.rest.ask(getImage, { imageId: stage.image.import })).toMatchObject({ state: 'ready', sizeBytes: 4 * MiB });
  }, 240_000);
});
