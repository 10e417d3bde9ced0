// The rows of commands to a VM: what the VM is before, how the command is put, and what is there of its effect. All of it is
// real: QEMU with firmware alone, its disks on a datastore, its ports on an Open vSwitch.
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HostDisk, hostVmAdjust, hostVmDefine, hostVmDelete, hostVmPause, hostVmPowerOff, hostVmReset, hostVmResume, hostVmSave, hostVmStart, hostVmStop } from '#contracts';
import type { HostNic, HostVmSpec, VolumePlace } from '#contracts';
import { canonicalJson, newUuid } from '#kernel';
import { until } from '#testing';
import { smallVm } from '../agent-lab.fixture.ts';
import { diskDeviceId, nicDeviceId } from '../vm/command-line.ts';
import { MiB, qemuImg } from '../volume/volume.testing.ts';
import type { KillWorld } from './kill-world.fixture.ts';
import type { Row, Seen, Trial } from './trial.fixture.ts';

/** The VM of a trial. */
interface VmScene { readonly world: KillWorld; readonly spec: HostVmSpec; readonly commandId: string }

interface VmPart<T> {
  readonly before: 'absent' | 'defined' | 'paused' | 'running';
  readonly nics?: (world: KillWorld) => HostNic[];
  readonly disks?: (world: KillWorld) => HostDisk[];
  /** What the command is about besides the VM. */
  readonly with?: (scene: VmScene) => T;
  readonly prepare?: (scene: VmScene, about: T) => Promise<unknown>;
  readonly input?: (scene: VmScene, about: T) => object;
  readonly guest?: (scene: VmScene) => Promise<void>;
  /** What is looked at besides QEMU, its guest, the ports and the directory. */
  readonly look?: (scene: VmScene, about: T) => Promise<Seen['is']>;
  readonly volumes?: (about: T) => readonly VolumePlace[];
}

const firstUid = 600;
const nothing = { qemus: 0, guest: null, ports: 0, directory: true };
const one = { qemus: 1, ports: 0, directory: true };

function vmTrial<T = undefined>(part: VmPart<T>): (world: KillWorld) => Trial {
  return (world) => {
    const spec = smallVm(firstUid + world.next(), { nics: part.nics?.(world) ?? [], disks: part.disks?.(world) ?? [] });
    const scene: VmScene = { world, spec, commandId: newUuid() };
    const about = part.with?.(scene) as T; // undefined where there is nothing besides
    const order = { vmId: spec.vmId, epoch: 1 };
    const before = {
      absent: () => Promise.resolve(),
      defined: async () => { await world.done(hostVmDefine, { ...order, commandId: newUuid(), spec }); },
      paused: async () => { await world.done(hostVmStart, { ...order, commandId: newUuid(), spec, paused: true }); },
      running: async () => { await world.done(hostVmStart, { ...order, commandId: newUuid(), spec, paused: false }); },
    };
    return {
      of: spec.vmId, commandId: scene.commandId,
      prepare: async () => {
        for (const { place } of spec.disks) await writeFile(world.store.file(place), Buffer.alloc(MiB));
        await before[part.before]();
        await part.prepare?.(scene, about);
      },
      input: () => ({ ...order, commandId: scene.commandId, ...part.input?.(scene, about) }),
      guest: async () => { await part.guest?.(scene); },
      look: async () => {
        const [qemus, ports, more] = [await world.qemusOf(spec.vmId), await world.found('port', 'tok-vm', spec.vmId), await part.look?.(scene, about)];
        return { is: { qemus: qemus.length, guest: qemus.length === 1 ? await guestState(scene) : null, ports: ports.length, directory: existsSync(world.lab.vmDir(spec.vmId)), ...more }, own: [qemus, ports] };
      },
      clean: async () => {
        await world.endVm(spec.vmId);
        for (const place of [...spec.disks.map((disk) => disk.place), ...(part.volumes?.(about) ?? [])]) await world.deleteVolume(place);
      },
    };
  };
}

/** As QEMU says it. */
async function guestState({ world, spec }: VmScene): Promise<string> {
  return /VM status: (\w+)/.exec(await world.lab.tellMonitor(spec.vmId, 'info status'))?.[1] ?? 'unknown';
}

const documentOf = ({ world, spec }: VmScene): HostVmSpec | null => {
  const path = join(world.lab.vmDir(spec.vmId), 'vm.json');
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as { spec: HostVmSpec }).spec : null;
};

/** Devices of a QEMU that have this id. */
async function devices({ world, spec }: VmScene, id: string): Promise<number> {
  const tree = await world.lab.tellMonitor(spec.vmId, 'info qtree');
  return tree.split('\n').filter((line) => line.includes('dev: virtio-') && line.includes(`id "${id}"`)).length;
}

/** Powers the machine off as ACPI does, once the VM has been asked for it; the firmware sets up the registers first. */
async function switchOff({ world, spec, commandId }: VmScene): Promise<void> {
  if (world.journaled(commandId).at(-1) !== 'intent') return;
  await world.lab.switchOff(spec.vmId);
}

/** The interrupt line of the display adapter: nobody uses it, and a reset clears it. */
const register = { address: 0xcf8, of: 0x8000083c, data: 0xcfc };
async function registerOf({ world, spec }: VmScene): Promise<number> {
  await world.lab.writePort(spec.vmId, 'w', register.address, register.of);
  return world.lab.readPort(spec.vmId, 'b', register.data);
}
async function setRegister({ world, spec }: VmScene, value: number): Promise<void> {
  await world.lab.writePort(spec.vmId, 'w', register.address, register.of);
  await world.lab.writePort(spec.vmId, 'b', register.data, value);
}

/**
 * Lets go of what QEMU has asked the guest for, as ACPI does: a bus is selected, the slots that shall go are read and ejected
 * (QEMU, docs/specs/acpi_pci_hotplug). Firmware alone would never do it.
 */
const eject = { slots: 0xcc4, out: 0xcc8, bus: 0xcd0 };
/** More than a VM has. */
const buses = 40;
async function letGo({ world, spec, commandId }: VmScene): Promise<void> {
  if (world.journaled(commandId).at(-1) !== 'intent') return;
  for (let bus = 0; bus < buses; bus++) {
    await world.lab.writePort(spec.vmId, 'w', eject.bus, bus);
    const slots = await world.lab.readPort(spec.vmId, 'w', eject.slots);
    if (slots !== 0) await world.lab.writePort(spec.vmId, 'w', eject.out, slots);
  }
}

function newDisk(world: KillWorld): HostDisk {
  return HostDisk.parse({ diskId: newUuid(), slot: 0, bus: 'virtio', place: world.store.place('volumes', 'raw'), readOnly: false, bootIndex: null });
}

const snapshots = async (file: string): Promise<number> => (await qemuImg('snapshot', '-l', '-U', file)).split('\n').filter((line) => /^\d/.test(line)).length;
/** The guest let the device go when another agent asked it. */
const letGoBefore = { guest: 'not-asked' };
const oneNic = (world: KillWorld): HostNic[] => [world.nic()];
const oneDisk = (world: KillWorld): HostDisk[] => [newDisk(world)];
const changed = ({ spec }: VmScene): HostNic => ({ ...spec.nics[0]!, vlan: 20 });

const asleep = { ...nothing, snapshots: 1 };
const savedTrial = vmTrial<VolumePlace>({
  before: 'paused', with: ({ world }) => world.store.place(), prepare: ({ world }, place) => qemuImg('create', '-q', '-f', 'qcow2', world.store.file(place), '32M'),
  input: (_scene, place) => ({ place }), look: async ({ world }, place) => ({ snapshots: await snapshots(world.store.file(place)) }), volumes: (place) => [place],
});

export const vmRows: readonly Row[] = [
  {
    command: hostVmDefine, behind: 'vm.define:written', effect: { ...nothing, document: true },
    begin: vmTrial({
      before: 'absent', input: ({ spec }) => ({ spec }),
      look: (scene) => Promise.resolve({ document: canonicalJson(documentOf(scene)) === canonicalJson(scene.spec) }),
    }),
  },
  {
    command: hostVmStart, behind: 'vm.start:running', effect: { ...one, guest: 'running', ports: 1 }, sure: { qemus: 1, guest: 'running' }, // its port is made meanwhile
    begin: vmTrial({ before: 'absent', nics: oneNic, input: ({ spec }) => ({ spec, paused: false }) }),
  },
  {
    command: hostVmStop, behind: 'vm.release:done', effect: nothing,
    begin: vmTrial({ before: 'running', input: () => ({ graceMs: 120_000, by: 'acpi' }), guest: switchOff }),
  },
  { command: hostVmPowerOff, behind: 'vm.release:done', effect: nothing, begin: vmTrial({ before: 'paused', nics: oneNic }) },
  { command: hostVmDelete, behind: 'vm.delete:removed', effect: { ...nothing, directory: false }, recordedFirst: true, begin: vmTrial({ before: 'defined' }) },
  { command: hostVmPause, behind: 'vm.pause:steered', effect: { ...one, guest: 'paused' }, begin: vmTrial({ before: 'running' }) },
  { command: hostVmResume, behind: 'vm.resume:steered', effect: { ...one, guest: 'running' }, begin: vmTrial({ before: 'paused' }) },
  {
    // That a guest has begun anew does not show afterwards: a reset whose agent dies before it is on record is made once more.
    command: hostVmReset, behind: 'vm.reset:steered', effect: { ...one, guest: 'paused', register: 0 },
    begin: vmTrial({ before: 'paused', prepare: (scene) => setRegister(scene, 0x5a), look: async (scene) => ({ register: await registerOf(scene) }) }),
  },
  { command: hostVmSave, behind: 'vm.release:done', effect: asleep, begin: savedTrial },
  { command: hostVmSave, about: 'while QEMU writes', behind: 'vm.save:begun', effect: asleep, sure: { qemus: 1 }, begin: savedTrial },
  {
    command: hostVmAdjust, about: 'of a disk', behind: 'vm.adjust:plugged', effect: { ...one, guest: 'paused', devices: 1, kept: 1 },
    begin: vmTrial<HostDisk>({
      before: 'paused', with: ({ world }) => newDisk(world), prepare: ({ world }, { place }) => writeFile(world.store.file(place), Buffer.alloc(MiB)),
      input: (_scene, disk) => ({ change: { kind: 'attach-disk', disk } }),
      look: async (scene, disk) => ({ devices: await devices(scene, diskDeviceId(disk)), kept: documentOf(scene)?.disks.length }), volumes: ({ place }) => [place],
    }),
  },
  {
    command: hostVmAdjust, about: 'of a NIC', behind: 'vm.adjust:plugged', effect: { ...one, guest: 'paused', ports: 1, devices: 1, kept: 1 },
    begin: vmTrial<HostNic>({
      before: 'paused', with: ({ world }) => world.nic(), input: (_scene, nic) => ({ change: { kind: 'attach-nic', nic } }),
      look: async (scene, nic) => ({ devices: await devices(scene, nicDeviceId(nic)), kept: documentOf(scene)?.nics.length }),
    }),
  },
  {
    command: hostVmAdjust, about: 'that takes a disk away', behind: 'vm.adjust:unplugged', effect: { ...one, guest: 'paused', devices: 0, kept: 0 }, sure: { qemus: 1, guest: 'paused', devices: 0, kept: 1 }, found: letGoBefore,
    begin: vmTrial({
      before: 'paused', disks: oneDisk, guest: letGo, input: ({ spec }) => ({ change: { kind: 'detach-disk', diskId: spec.disks[0]?.diskId, waitMs: 60_000 } }),
      look: async (scene) => ({ devices: await devices(scene, diskDeviceId(scene.spec.disks[0]!)), kept: documentOf(scene)?.disks.length }),
    }),
  },
  {
    command: hostVmAdjust, about: 'that takes a NIC away', behind: 'vm.adjust:kept', effect: { ...one, guest: 'paused', devices: 0, kept: 0 }, sure: { qemus: 1, guest: 'paused', ports: 1, devices: 0, kept: 0 }, found: letGoBefore, // its port goes last
    begin: vmTrial({
      before: 'paused', nics: oneNic, guest: letGo, input: ({ spec }) => ({ change: { kind: 'detach-nic', nicId: spec.nics[0]?.nicId, waitMs: 60_000 } }),
      look: async (scene) => ({ devices: await devices(scene, nicDeviceId({ slot: 0 })), kept: documentOf(scene)?.nics.length }),
    }),
  },
  {
    command: hostVmAdjust, about: 'of a NIC’s network', behind: 'vm.adjust:rewired', effect: { ...one, guest: 'running', ports: 1, vlan: 20, link: true }, sure: { qemus: 1, ports: 1, vlan: 20, link: false }, // its guest is told last
    begin: vmTrial({
      before: 'running', nics: oneNic, prepare: (scene) => until('the firmware has found the NIC', async () => (await linkOf(scene)) !== null),
      input: (scene) => ({ change: { kind: 'change-nic', nic: changed(scene) } }), look: async (scene) => ({ vlan: await vlanOf(scene), link: await linkOf(scene) }),
    }),
  },
  {
    command: hostVmAdjust, about: 'of limits', behind: 'vm.adjust:limited', effect: { ...one, guest: 'paused', limited: true },
    begin: vmTrial({
      before: 'paused', input: ({ spec }) => ({ change: { kind: 'limits', cpuService: { ...spec.cpuService, limit: 100 }, memoryService: spec.memoryService } }),
      look: (scene) => Promise.resolve({ limited: documentOf(scene)?.cpuService.limit === 100 && quotaOf(scene) }),
    }),
  },
];

/** Whether the kernel limits the VM's processor time; true where there are no cgroups to say so. */
function quotaOf({ world, spec }: VmScene): boolean {
  const files = ['cpu', 'unified', ''].flatMap((mount) => ['cpu.cfs_quota_us', 'cpu.max'].map((name) => join('/sys/fs/cgroup', mount, world.cgroup, spec.vmId, name)));
  return files.filter(existsSync).every((file) => !/^(-1|max)/.test(readFileSync(file, 'utf8')));
}

/** Whether the guest's NIC has a link, as its driver would read it in the device's configuration (virtio 1.2, 5.1.4); null = nobody has given it an address yet. */
async function linkOf({ world, spec }: VmScene): Promise<boolean | null> {
  const device = (await world.lab.tellMonitor(spec.vmId, 'info pci')).split(/Bus +\d+, device/).find((text) => text.includes(`id "${nicDeviceId({ slot: 0 })}"`));
  const at = /BAR4: 64 bit prefetchable memory at (0x[0-9a-f]+)/.exec(device ?? '')?.[1];
  if (at === undefined || /^0xf+$/.test(at)) return null;
  const [configuration, status] = [0x2000, 6];
  const said = await world.lab.tellMonitor(spec.vmId, `xp /1hx ${BigInt(at) + BigInt(configuration + status)}`);
  const word = /: (0x[0-9a-f]{4})/.exec(said)?.[1];
  return word === undefined ? null : (Number(word) & 1) === 1;
}

async function vlanOf({ world, spec }: VmScene): Promise<number> {
  const [port] = await world.found('port', 'tok-vm', spec.vmId, 'tag');
  return Number(port?.split(',')[1]);
}
