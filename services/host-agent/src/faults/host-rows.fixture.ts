// The rows of commands to the host itself: volumes, uploads, switches, and what nobody knows. Files, programs and the Open
// vSwitch are real.
import type { ChildProcess } from 'node:child_process';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  SwitchId, hostFileKeep, hostFilePurge, hostFileRelease, hostPortMend, hostPortRemove, hostQemuEnd, hostSwitchApply, hostSwitchRemove, hostUploadDiscard, hostVmStart,
  hostVolumeCancel, hostVolumeCopy, hostVolumeCreate, hostVolumeDelete, hostVolumeIngest,
} from '#contracts';
import type { UploadId, VolumePlace } from '#contracts';
import { newUuid } from '#kernel';
import { until } from '#testing';
import { endProcess, smallVm } from '../agent-lab.fixture.ts';
import { errorCode } from '../error-code.ts';
import { runCommand } from '../run-command.ts';
import { tapName } from '../switch/names.ts';
import { startTicksOf } from '../vm/process-table.proc.ts';
import { MiB, qemuImg } from '../volume/volume.testing.ts';
import { running } from './kill-world.fixture.ts';
import type { KillWorld } from './kill-world.fixture.ts';
import type { Row, Seen, Trial } from './trial.fixture.ts';

/** What a trial of a command to the host adds to its id. */
type Part = Omit<Trial, 'of' | 'commandId' | 'input' | 'prepare' | 'clean'> & { prepare?(): Promise<void>; input(): object; clean?(): Promise<void> };

const hostTrial = (begin: (world: KillWorld) => Part) => (world: KillWorld): Trial => {
  const [commandId, part] = [newUuid(), begin(world)];
  return {
    ...part, of: commandId, commandId,
    prepare: async () => part.prepare?.(),
    input: () => ({ commandId, ...part.input() }),
    clean: async () => part.clean?.(),
  };
};

/** The files that bear an id, and by what they are known to be the same ones later. */
function filesSeen(world: KillWorld, id: string, is: Seen['is'] = {}): Seen {
  const files = world.filesOf(id);
  const own = files.map((path) => statSync(join(world.store.path, path.replaceAll('ID', id)))).map(({ ino, mtimeMs, size }) => [ino, mtimeMs, size]);
  return { is: { files, ...is }, own };
}

const virtualBytes = async (file: string, format: string): Promise<number> => (JSON.parse(await qemuImg('info', '-U', '-f', format, '--output=json', file)) as { 'virtual-size': number })['virtual-size'];
/** Whether a volume has the bytes that its source has: every one 0xa5. */
async function hasContent(file: string, format: string): Promise<boolean> {
  // Read only: what looks must not write.
  const { code, stdout } = await runCommand(['qemu-io', '-r', '-U', '-f', format, '-c', `read -P 0xa5 0 ${MiB}`, file], { deadlineMs: 20_000 });
  return code === 0 && !stdout.includes('failed');
}

async function volumeSeen(world: KillWorld, place: VolumePlace): Promise<Seen> {
  const file = world.store.file(place);
  if (!existsSync(file)) return filesSeen(world, place.volumeId, { bytes: null, content: null });
  return filesSeen(world, place.volumeId, { bytes: await virtualBytes(file, place.format), content: await hasContent(file, place.format) });
}

/** A file that nobody knows. */
function stray(world: KillWorld) {
  const id = newUuid();
  const path = `volumes/${id}.raw`;
  const file = { datastoreId: world.store.datastoreId, datastorePath: world.store.path, path };
  const write = (): void => { writeFileSync(join(world.store.path, path), 'whose is this?'); };
  const asSeen = () => {
    const { size, mtimeMs } = statSync(join(world.store.path, path));
    return { sizeBytes: size, modifiedMs: Math.trunc(mtimeMs) };
  };
  const keep = async (): Promise<void> => { await world.done(hostFileKeep, { commandId: newUuid(), ...file, ...asSeen() }); };
  const purge = async (): Promise<void> => { await world.done(hostFilePurge, { commandId: newUuid(), ...file }); };
  return { file, write, asSeen, keep, purge, look: () => Promise.resolve(filesSeen(world, id)), remove: () => rm(join(world.store.path, path), { force: true }) };
}

/** Copies of a volume that are being made now. */
const copiesOf = async ({ volumeId }: VolumePlace): Promise<number[]> =>
  (await running(volumeId)).filter(({ argv }) => argv[0] === 'qemu-img' && argv[1] === 'convert').map(({ pid }) => pid);

/** Begins a copy whose program is stopped before it is done, so that there is something to cancel; answers its command. */
async function heldCopy(world: KillWorld, to: VolumePlace): Promise<string> {
  const tries = 20;
  for (let attempt = 0; attempt < tries; attempt++) {
    const commandId = newUuid();
    let over = false;
    void world.lab.ask(hostVolumeCopy, { commandId, from: world.largeSource, to, sizeBytes: 128 * MiB }, 60_000).finally(() => { over = true; }).catch(() => undefined);
    const [pid] = await until('the copy is begun', async () => {
      const pids = await copiesOf(to);
      return over || pids.length > 0 ? pids : null;
    });
    if (pid !== undefined && stopped(pid)) return commandId;
    await until('the copy has ended', () => over);
    await world.deleteVolume(to);
  }
  throw new Error(`${tries} copies were each done before they could be stopped`);
}

/** False where it has ended by now. */
function stopped(pid: number): boolean {
  try {
    process.kill(pid, 'SIGSTOP');
    return true;
  } catch (error) {
    if (errorCode(error) !== 'ESRCH') throw error;
    return false;
  }
}

async function switchSeen(world: KillWorld, switchId: string): Promise<Seen> {
  const own = await world.found('bridge', 'tok-switch', switchId, 'external_ids');
  return { is: { bridges: own.length, generation: /tok-generation=\W*(\d+)/.exec(own.join())?.[1] ?? null }, own };
}

export const hostRows: readonly Row[] = [
  {
    command: hostVolumeCreate, behind: 'volume.create:effect', effect: { files: ['volumes/ID.qcow2'], bytes: 4 * MiB, content: false },
    begin: hostTrial((world) => {
      const place = world.store.place();
      return { input: () => ({ place, sizeBytes: 4 * MiB, backing: null }), look: () => volumeSeen(world, place), clean: () => world.deleteVolume(place) };
    }),
  },
  {
    command: hostVolumeCopy, behind: 'volume.copy:effect', effect: { files: ['volumes/ID.qcow2'], bytes: 2 * MiB, content: true },
    begin: hostTrial((world) => {
      const to = world.store.place();
      return { input: () => ({ from: world.source, to, sizeBytes: 2 * MiB }), look: () => volumeSeen(world, to), clean: () => world.deleteVolume(to) };
    }),
  },
  {
    command: hostVolumeDelete, behind: 'volume.delete:effect', effect: { files: [], bytes: null, content: null },
    begin: hostTrial((world) => {
      const place = world.store.place();
      return { prepare: async () => { await world.store.image(place, MiB, MiB); }, input: () => ({ place }), look: () => volumeSeen(world, place) };
    }),
  },
  {
    // Copies end with their agent, whatever it had been told.
    command: hostVolumeCancel, behind: 'volume.cancel:effect', effect: { copies: 0, volume: false }, comesWithTheEnd: true,
    begin: hostTrial((world) => {
      const to = world.store.place();
      let targetCommandId = '';
      return {
        prepare: async () => { targetCommandId = await heldCopy(world, to); },
        input: () => ({ targetCommandId }),
        look: async () => ({ is: { copies: (await copiesOf(to)).length, volume: existsSync(world.store.file(to)) }, own: [] }),
        clean: () => world.deleteVolume(to), // with what a copy has left that died with its agent
      };
    }),
  },
  {
    command: hostVolumeIngest, behind: 'volume.ingest:effect', effect: { files: ['images/ID.qcow2', 'images/ID.qcow2.json'], bytes: MiB, content: true, uploads: [] },
    begin: hostTrial((world) => {
      const to = world.store.place('images');
      let uploadId = '' as UploadId;
      return {
        prepare: async () => { uploadId = await world.store.upload(world.volumes, Buffer.alloc(MiB, 0xa5)); },
        input: () => ({ uploadId, datastorePath: world.store.path, format: 'raw', sizeBytes: MiB, sha256: null, to, maxVirtualBytes: 64 * MiB }),
        look: async () => {
          const { is, own } = await volumeSeen(world, to);
          return { is: { ...is, uploads: world.filesOf(uploadId) }, own };
        },
        clean: () => world.deleteVolume(to),
      };
    }),
  },
  {
    command: hostUploadDiscard, behind: 'upload.discard:effect', effect: { files: [] },
    begin: hostTrial((world) => {
      let uploadId = '' as UploadId;
      return {
        prepare: async () => { uploadId = await world.store.upload(world.volumes, Buffer.alloc(1_000, 0xa5)); },
        input: () => ({ uploadId, datastorePath: world.store.path }), look: () => Promise.resolve(filesSeen(world, uploadId)),
      };
    }),
  },
  {
    command: hostSwitchApply, behind: 'switch.apply:effect', effect: { bridges: 1, generation: '7' },
    begin: hostTrial((world) => {
      const switchId = SwitchId.parse(newUuid());
      return {
        input: () => ({ switchId, name: 'killed', mtu: 1500, uplinks: [], generation: 7 }), look: () => switchSeen(world, switchId),
        clean: async () => { await world.done(hostSwitchRemove, { commandId: newUuid(), switchId }); },
      };
    }),
  },
  {
    command: hostSwitchRemove, behind: 'switch.remove:effect', effect: { bridges: 0, generation: null },
    begin: hostTrial((world) => {
      const switchId = SwitchId.parse(newUuid());
      return {
        prepare: async () => { await world.done(hostSwitchApply, { commandId: newUuid(), switchId, name: 'killed', mtu: 1500, uplinks: [], generation: 3 }); },
        input: () => ({ switchId }), look: () => switchSeen(world, switchId),
      };
    }),
  },
  {
    command: hostQemuEnd, behind: 'qemu.end:effect', effect: { alive: false },
    begin: hostTrial((world) => {
      const name = `stranger-${newUuid()}`;
      let stranger: ChildProcess | undefined;
      let startTicks = 0;
      const pid = (): number => stranger?.pid ?? 0;
      return {
        prepare: async () => {
          stranger = world.ovs.spawnIn(world.ovs.host, 'qemu-system-x86_64', '-name', name, '-machine', 'none', '-nodefaults', '-display', 'none', '-S');
          // `nsenter` has become it.
          const seen = await until('the stranger runs', async () => (await running(name)).find(({ argv }) => argv[0]?.startsWith('qemu-system-')));
          startTicks = seen.startTicks;
        },
        input: () => ({ pid: pid(), startTicks }),
        look: async () => ({ is: { alive: (await startTicksOf(pid())) === startTicks }, own: [] }),
        clean: () => endProcess(pid()),
      };
    }),
  },
  {
    command: hostPortRemove, behind: 'port.remove:effect', effect: { ports: 0, tap: true },
    begin: hostTrial((world) => {
      const ifname = `kill${world.next()}`;
      return {
        prepare: async () => {
          await world.inside('ip', 'tuntap', 'add', 'dev', ifname, 'mode', 'tap');
          const { code, stderr } = await world.ovs.vsctl('add-port', world.bridge, ifname);
          if (code !== 0) throw new Error(stderr);
        },
        input: () => ({ ifname, foreign: true }),
        look: async () => ({ is: { ports: (await world.portsNamed(ifname)).length, tap: (await world.ovs.links()).includes(ifname) }, own: [] }),
        clean: async () => { await world.inside('ip', 'tuntap', 'del', 'dev', ifname, 'mode', 'tap'); }, // somebody’s, who takes it away
      };
    }),
  },
  {
    command: hostPortMend, behind: 'port.mend:effect', effect: { ports: 1 },
    begin: hostTrial((world) => {
      const nic = world.nic();
      const spec = smallVm(world.next(), { nics: [nic] });
      return {
        prepare: async () => {
          await world.done(hostVmStart, { commandId: newUuid(), vmId: spec.vmId, epoch: 1, spec, paused: true });
          const { code, stderr } = await world.ovs.vsctl('del-port', world.bridge, tapName(nic.nicId));
          if (code !== 0) throw new Error(stderr);
        },
        input: () => ({ vmId: spec.vmId, nicId: nic.nicId }),
        look: async () => {
          const own = await world.found('port', 'tok-nic', nic.nicId);
          return { is: { ports: own.length }, own };
        },
        clean: () => world.endVm(spec.vmId),
      };
    }),
  },
  {
    command: hostFileKeep, behind: 'file.keep:effect', effect: { files: ['.quarantine/volumes+ID.raw'] },
    begin: hostTrial((world) => {
      const { file, write, asSeen, look, purge } = stray(world);
      let seen: ReturnType<typeof asSeen> | undefined;
      return { prepare: () => { write(); seen = asSeen(); return Promise.resolve(); }, input: () => ({ ...file, ...seen }), look, clean: purge };
    }),
  },
  {
    command: hostFileRelease, behind: 'file.release:effect', effect: { files: ['volumes/ID.raw'] },
    begin: hostTrial((world) => {
      const { file, write, keep, look, remove } = stray(world);
      return { prepare: () => { write(); return keep(); }, input: () => file, look, clean: remove };
    }),
  },
  {
    command: hostFilePurge, behind: 'file.purge:effect', effect: { files: [] },
    begin: hostTrial((world) => {
      const { file, write, keep, look } = stray(world);
      return { prepare: () => { write(); return keep(); }, input: () => file, look };
    }),
  },
];
