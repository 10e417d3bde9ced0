// Every command of the host that leaves something behind, as a table: what carries it out, and how its effect is seen
// after a crash.
import type { hostSwitchApply, hostSwitchRemove, hostUploadDiscard, hostVolumeCancel, hostVolumeCopy, hostVolumeCreate, hostVolumeDelete, hostVolumeIngest, HostOperation, InputOf } from '#contracts';
import { hostCommands } from '#contracts';
import type { Result } from '#kernel';
import { ok } from '#kernel';
import type { Drivers } from '../environment.ts';
import type { VolumeWork } from '../drivers.ts';

export type LastingCommandName = 'volume.create' | 'volume.copy' | 'volume.delete' | 'volume.cancel' | 'volume.ingest' | 'upload.discard' | 'switch.apply' | 'switch.remove';

export interface LastingCommand<I> {
  run(drivers: Drivers, input: I, work: VolumeWork): Promise<Result<unknown>>;
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

/** A row for one command, with its input read by its own contract. */
export interface LastingRow {
  run(drivers: Drivers, input: unknown, work: VolumeWork): Promise<Result<unknown>>;
  happened(drivers: Drivers, input: unknown): Promise<boolean>;
  volumeOf(input: unknown): string | null;
}

function row<I>(name: LastingCommandName, command: LastingCommand<I>): LastingRow {
  const contract = contractOf(name);
  const read = (input: unknown): I => contract.input.parse(input) as I; // the row was made for this contract
  return {
    run: (drivers, input, work) => command.run(drivers, read(input), work),
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
};
export const isLasting = (name: string): name is LastingCommandName => Object.hasOwn(lastingCommands, name);
