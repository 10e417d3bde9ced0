// Every command of the host that leaves something behind, as a table: what carries it out, and how its effect is seen
// after a crash.
import type { hostFileKeep, hostFilePurge, hostFileRelease, hostPortMend, hostPortRemove, hostQemuEnd, hostSwitchApply, hostSwitchRemove, hostUploadDiscard, hostVolumeCancel, hostVolumeCopy, hostVolumeCreate, hostVolumeDelete, hostVolumeIngest, HostOperation, HostVmSpec, InputOf } from '#contracts';
import { hostCommands, InUse, NotFoundOnHost } from '#contracts';
import type { Result } from '#kernel';
import { ok } from '#kernel';
import type { Drivers } from '../environment.ts';
import type { VolumeWork } from '../drivers.ts';
import { endProcess } from '../vm/end-process.proc.ts';
import { isAlive } from '../vm/process-table.proc.ts';
import type { Unmanaged } from './adoption.ts';

export type LastingCommandName = 'volume.create' | 'volume.copy' | 'volume.delete' | 'volume.cancel' | 'volume.ingest' | 'upload.discard' | 'switch.apply' | 'switch.remove'
  | 'qemu.end' | 'port.remove' | 'port.mend' | 'file.keep' | 'file.release' | 'file.purge';

/** What a command may ask about the VMs of the host. */
export interface HostWorld {
  mayRun(): Promise<readonly HostVmSpec[]>;
  /** Also one that is just being started or ended. */
  holdsPorts(vmId: string): Promise<boolean>;
  strangers(): Promise<readonly Unmanaged[]>;
}

export interface LastingCommand<I> {
  run(drivers: Drivers, input: I, work: VolumeWork, world: HostWorld): Promise<Result<unknown>>;
  happened(drivers: Drivers, input: I): Promise<boolean>;
  /** The volume that the command writes; two commands never write one volume at the same time. */
  volumeOf?(input: I): string;
}

const done = <T>(result: Result<T>): Result<unknown> => (result.ok ? ok({}) : result);

const volumeCreate: LastingCommand<InputOf<typeof hostVolumeCreate>> = {
  run: ({ volumes }, input, work) => volumes.create(input, work),
  happened: async ({ volumes }, input) => (await volumes.effectOf('volume.create', input)) === 'done',
  volumeOf: ({ place }) => place.volumeId,
};
const volumeCopy: LastingCommand<InputOf<typeof hostVolumeCopy>> = {
  run: ({ volumes }, input, work) => volumes.copy(input, work),
  happened: async ({ volumes }, input) => (await volumes.effectOf('volume.copy', input)) === 'done',
  volumeOf: ({ to }) => to.volumeId,
};
const volumeDelete: LastingCommand<InputOf<typeof hostVolumeDelete>> = {
  run: async ({ volumes }, input, work) => done(await volumes.delete(input, work)),
  happened: async ({ volumes }, input) => (await volumes.effectOf('volume.delete', input)) === 'done',
  volumeOf: ({ place }) => place.volumeId,
};
const volumeCancel: LastingCommand<InputOf<typeof hostVolumeCancel>> = {
  run: async ({ volumes }, input, work) => done(await volumes.cancel(input, work)),
  happened: async ({ volumes }, input) => (await volumes.effectOf('volume.cancel', input)) === 'done',
};
const volumeIngest: LastingCommand<InputOf<typeof hostVolumeIngest>> = {
  run: ({ volumes }, input, work) => volumes.ingest(input, work),
  happened: async ({ volumes }, input) => (await volumes.effectOf('volume.ingest', input)) === 'done',
  volumeOf: ({ to }) => to.volumeId,
};
const uploadDiscard: LastingCommand<InputOf<typeof hostUploadDiscard>> = {
  run: async ({ volumes }, input, work) => done(await volumes.uploadDiscard(input, work)),
  happened: async ({ volumes }, input) => (await volumes.effectOf('upload.discard', input)) === 'done',
};
const switchApply: LastingCommand<InputOf<typeof hostSwitchApply>> = {
  run: ({ switches }, input) => switches.apply(input),
  happened: async ({ switches }, { switchId, generation }) => (await switches.appliedGeneration(switchId)) === generation,
};
const switchRemove: LastingCommand<InputOf<typeof hostSwitchRemove>> = {
  run: async ({ switches }, { switchId }) => done(await switches.remove(switchId)),
  happened: async ({ switches }, { switchId }) => (await switches.appliedGeneration(switchId)) === null,
};

const endsWithinMs = 5_000;
const qemuEnd: LastingCommand<InputOf<typeof hostQemuEnd>> = {
  run: async (_drivers, process, _work, world) => {
    if (!(await isAlive(process))) return ok({});
    if (!(await world.strangers()).some(({ pid }) => pid === process.pid)) return InUse.fail('The process is a VM of this host, or no QEMU.', { by: [] });
    await endProcess(process, endsWithinMs);
    return ok({});
  },
  happened: async (_drivers, process) => !(await isAlive(process)),
};
const hasPort = async ({ switches }: Drivers, ifname: string): Promise<boolean> => {
  const seen = await switches.survey();
  return seen.ok && seen.value.ports.some((port) => port.ifname === ifname);
};
const portRemove: LastingCommand<InputOf<typeof hostPortRemove>> = {
  run: async ({ switches }, { ifname, foreign }, _work, world) => done(await switches.removeStray(ifname, foreign, (vmId) => world.holdsPorts(vmId))),
  happened: async (drivers, { ifname }) => !(await hasPort(drivers, ifname)),
};
const portMend: LastingCommand<InputOf<typeof hostPortMend>> = {
  run: async ({ switches }, { vmId, nicId }, _work, world) => {
    const spec = (await world.mayRun()).find((one) => one.vmId === vmId);
    const nic = spec?.nics.find((one) => one.nicId === nicId);
    if (spec === undefined || nic === undefined) return NotFoundOnHost.fail('The VM does not run here, or has no such NIC.', { noun: 'vm', id: vmId });
    return done(await switches.attach(vmId, nic, spec.uid));
  },
  happened: async ({ switches }, { vmId, nicId }) => (await switches.listPorts()).some((port) => port.vmId === vmId && port.nicId === nicId),
};
const fileKeep: LastingCommand<InputOf<typeof hostFileKeep>> = {
  run: ({ volumes }, input, work) => volumes.keep(input, work),
  happened: async ({ volumes }, input) => (await volumes.effectOf('file.keep', input)) === 'done',
};
const fileRelease: LastingCommand<InputOf<typeof hostFileRelease>> = {
  run: ({ volumes }, input, work) => volumes.release(input, work),
  happened: async ({ volumes }, input) => (await volumes.effectOf('file.release', input)) === 'done',
};
const filePurge: LastingCommand<InputOf<typeof hostFilePurge>> = {
  run: ({ volumes }, input, work) => volumes.purge(input, work),
  happened: async ({ volumes }, input) => (await volumes.effectOf('file.purge', input)) === 'done',
};

/** A row for one command, with its input read by its own contract. */
export interface LastingRow {
  run(drivers: Drivers, input: unknown, work: VolumeWork, world: HostWorld): Promise<Result<unknown>>;
  happened(drivers: Drivers, input: unknown): Promise<boolean>;
  volumeOf(input: unknown): string | null;
}

function row<I>(name: LastingCommandName, command: LastingCommand<I>): LastingRow {
  const contract = contractOf(name);
  const read = (input: unknown): I => contract.input.parse(input) as I; // the row was made for this contract
  return {
    run: (drivers, input, work, world) => command.run(drivers, read(input), work, world),
    happened: (drivers, input) => command.happened(drivers, read(input)),
    volumeOf: (input) => command.volumeOf?.(read(input)) ?? null,
  };
}

export function contractOf(name: string): HostOperation {
  const found = hostCommands.find((command) => command.name === name);
  if (!found) throw new Error(`there is no host command ${name}`);
  return found;
}

export const lastingCommands: Readonly<Record<LastingCommandName, LastingRow>> = {
  'volume.create': row('volume.create', volumeCreate),
  'volume.copy': row('volume.copy', volumeCopy),
  'volume.delete': row('volume.delete', volumeDelete),
  'volume.cancel': row('volume.cancel', volumeCancel),
  'volume.ingest': row('volume.ingest', volumeIngest),
  'upload.discard': row('upload.discard', uploadDiscard),
  'switch.apply': row('switch.apply', switchApply),
  'switch.remove': row('switch.remove', switchRemove),
  'qemu.end': row('qemu.end', qemuEnd),
  'port.remove': row('port.remove', portRemove),
  'port.mend': row('port.mend', portMend),
  'file.keep': row('file.keep', fileKeep),
  'file.release': row('file.release', fileRelease),
  'file.purge': row('file.purge', filePurge),
};
export const isLasting = (name: string): name is LastingCommandName => Object.hasOwn(lastingCommands, name);
