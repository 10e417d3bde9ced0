// Hosts that keep their files and switches in memory: the contract's commands with a journal, for tests of services.
// Hosts of one `FakeWorld` see the same files, as servers with a common NAS do.
import type { NatsConnection } from '@nats-io/transport-node';
import { BusClient, hostHandler, serveHost, silentLog } from '#bus';
import type { ServingHost } from '#bus';
import {
  CommandCancelled, HostCommandFailed, HostUnreachable, hostDatastoreProbe, hostDatastoreScan, hostDatastoreSurvey, hostFileKeep, hostFilePurge, hostFileRelease, hostPortMend, hostPortRemove, hostSwitchSurvey, hostSwitchApply, hostSwitchRemove, hostUploadDiscard, hostUploadWrite, hostVolumeCancel, hostVolumeCopy,
  hostVolumeCreate, hostVolumeDelete, hostVolumeIngest, hostVolumeProgress, ImageRefused, InUse, NotFoundOnHost,
} from '#contracts';
import type { ReplyOf, SurveyedFile, VolumeId, VolumePlace } from '#contracts';
import type { Result } from '#kernel';
import { newUuid, ok } from '#kernel';
import type { MortalHost } from '#testing';

export const GiB = 1024 ** 3;
const fileOf = (place: VolumePlace): string => `${place.datastorePath}/${place.relativePath}`;

export class FakeWorld {
  /** Markers of directories; a path that is not in it does not exist. */
  readonly directories = new Map<string, { marker: string | null; freeBytes: number }>();
  readonly files = new Map<string, { backing: string | null; bytes: number }>();
  readonly staging = new Map<string, Map<number, Buffer>>();
  /** Set = copies wait for it, after having reported half of their way. */
  copyGate: Promise<void> | undefined;
  /** Files that are open somewhere and cannot be deleted. */
  readonly open = new Set<string>();
  /** Files in quarantine, by where they were. */
  readonly kept = new Map<string, { backing: string | null; bytes: number }>();
}

type Files = Map<string, { backing: string | null; bytes: number }>;
function moved(file: string, from: Files, to: Files): Result<Record<string, never>> {
  const found = from.get(file);
  if (found !== undefined) to.set(file, found);
  from.delete(file);
  return ok({});
}

const surveyed = (store: string, files: Files, kept: boolean): SurveyedFile[] => [...files].filter(([file]) => file.startsWith(`${store}/`)).map(([file, { bytes }]) => {
  const path = file.slice(store.length + 1);
  const id = /([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/.exec(path)?.[1] ?? null;
  return { path, kind: id === null ? 'foreign' : path.startsWith('.staging/') ? 'upload' : path.endsWith('.draft') ? 'draft' : 'volume', id, sizeBytes: bytes, modifiedMs: 1, kept };
});
/** Two at a time, so that whoever asks for files meets pages. */
function paged<T>(files: readonly T[], pathOf: (file: T) => string, after: string): { files: T[]; next: string | null } {
  const left = files.filter((file) => pathOf(file) > after).sort((one, other) => (pathOf(one) < pathOf(other) ? -1 : 1));
  return { files: left.slice(0, 2), next: left.length > 2 ? pathOf(left[1]!) : null };
}

export class FakeHost implements MortalHost {
  dies: MortalHost['dies'] = null;
  readonly diedAt = new Set<string>();
  /** Commands that had an effect, each once per id: `noun.verb`. */
  readonly done: string[] = [];
  readonly switches = new Map<string, { mtu: number; uplinks: string[]; generation: number }>();
  /** Ports that a survey tells of beside the switches, and what VMs lack. */
  readonly ports: ReplyOf<typeof hostSwitchSurvey>['ports'] = [];
  readonly missing: ReplyOf<typeof hostSwitchSurvey>['missing'] = [];
  /** Uplinks that are not there. */
  readonly badUplinks = new Set<string>();
  private readonly journal = new Map<string, Promise<Result<unknown>>>();
  private readonly aborts = new Map<string, () => void>();
  private serving: ServingHost | undefined;

  private constructor(readonly id: string, private readonly world: FakeWorld, private readonly nats: NatsConnection) {}

  static async started(id: string, world: FakeWorld, nats: NatsConnection): Promise<FakeHost> {
    const host = new FakeHost(id, world, nats);
    await host.start();
    return host;
  }

  async start(): Promise<void> {
    const { world } = this;
    const volume = (place: VolumePlace, bytes: number, backing: string | null = null): Result<{ allocatedBytes: number }> => {
      world.files.set(fileOf(place), { backing, bytes });
      return ok({ allocatedBytes: bytes });
    };
    this.serving = await serveHost(this.nats, this.id, [
      hostHandler(hostVolumeCreate, (input) => this.once(input.commandId, 'volume.create', () => {
        if (input.backing !== null && !world.files.has(fileOf(input.backing))) return NotFoundOnHost.fail('no backing file', { noun: 'volume', id: input.backing.volumeId });
        return volume(input.place, 200_000, input.backing && fileOf(input.backing));
      })),
      hostHandler(hostVolumeCopy, (input) => this.once(input.commandId, 'volume.copy', () => this.copy(input, () => volume(input.to, input.sizeBytes)))),
      hostHandler(hostVolumeDelete, (input) => this.once(input.commandId, 'volume.delete', () => {
        if (world.open.has(fileOf(input.place))) return InUse.fail('the file is open', { by: [] });
        world.files.delete(fileOf(input.place));
        return ok({});
      })),
      hostHandler(hostVolumeCancel, (input) => this.once(input.commandId, 'volume.cancel', () => {
        this.aborts.get(input.targetCommandId)?.();
        return ok({});
      })),
      hostHandler(hostVolumeIngest, (input) => this.once(input.commandId, 'volume.ingest', () => {
        const bytes = Buffer.concat([...(world.staging.get(input.uploadId) ?? new Map<number, Buffer>()).entries()].sort(([a], [b]) => a - b).map(([, piece]) => piece));
        if (bytes.length !== input.sizeBytes || bytes.includes('backing')) return ImageRefused.fail('The image names a backing file.', { reason: 'backing-file' });
        const made = volume(input.to, bytes.length);
        return made.ok ? ok({ virtualBytes: 8 * 1024 * 1024, allocatedBytes: bytes.length, sha256: 'ab'.repeat(32) }) : made;
      })),
      hostHandler(hostUploadWrite, async ({ uploadId, offset, data }) => {
        const pieces = world.staging.get(uploadId) ?? new Map<number, Buffer>();
        world.staging.set(uploadId, pieces.set(offset, Buffer.from(data, 'base64')));
        return Promise.resolve(ok({ sizeBytes: [...pieces].reduce((sum, [, piece]) => sum + piece.length, 0) }));
      }),
      hostHandler(hostUploadDiscard, (input) => this.once(input.commandId, 'upload.discard', () => {
        world.staging.delete(input.uploadId);
        return ok({});
      })),
      hostHandler(hostDatastoreProbe, async ({ path, datastoreId, initialise }) => {
        const directory = world.directories.get(path) ?? world.directories.get(`${this.id}:${path}`);
        if (directory === undefined) return Promise.resolve(HostCommandFailed.fail(`${path} is not a directory.`, { reason: 'no-directory' }));
        if (initialise) directory.marker ??= datastoreId;
        return ok({ totalBytes: 100 * GiB, freeBytes: directory.freeBytes, fileSystem: 'xfs', marker: directory.marker });
      }),
      hostHandler(hostDatastoreScan, async ({ path, after }) => Promise.resolve(ok(paged(
        [...world.files].filter(([file]) => file.startsWith(`${path}/`)).map(([file, { bytes }]) => ({ relativePath: file.slice(path.length + 1), volumeId: (/[0-9a-f-]{36}/.exec(file)?.[0] ?? newUuid()) as VolumeId, allocatedBytes: bytes })),
        ({ relativePath }) => relativePath, after,
      )))),
      hostHandler(hostDatastoreSurvey, async ({ path, after }) => Promise.resolve(ok(paged([...surveyed(path, world.files, false), ...surveyed(path, world.kept, true)], (file) => file.path, after)))),
      hostHandler(hostFileKeep, (input) => this.once(input.commandId, 'file.keep', () => {
        const file = `${input.datastorePath}/${input.path}`;
        if (world.open.has(file)) return InUse.fail('the file is open', { by: [] });
        return moved(file, world.files, world.kept);
      })),
      hostHandler(hostFileRelease, (input) => this.once(input.commandId, 'file.release', () => moved(`${input.datastorePath}/${input.path}`, world.kept, world.files))),
      hostHandler(hostFilePurge, (input) => this.once(input.commandId, 'file.purge', () => {
        world.kept.delete(`${input.datastorePath}/${input.path}`);
        return ok({});
      })),
      hostHandler(hostSwitchSurvey, async () => Promise.resolve(ok({
        switches: [...this.switches].map(([switchId, { generation }]) => ({ switchId, bridge: `br-${switchId.slice(-12)}`, generation })), ports: [...this.ports], missing: [...this.missing],
      }))),
      hostHandler(hostPortRemove, (input) => this.once(input.commandId, 'port.remove', () => {
        const at = this.ports.findIndex(({ ifname, owned }) => ifname === input.ifname && !owned);
        if (at >= 0) this.ports.splice(at, 1);
        return ok({});
      })),
      hostHandler(hostPortMend, (input) => this.once(input.commandId, 'port.mend', () => {
        const at = this.missing.findIndex(({ nicId }) => nicId === input.nicId);
        if (at >= 0) this.missing.splice(at, 1);
        return ok({});
      })),
      hostHandler(hostSwitchApply, (input) => this.once(input.commandId, 'switch.apply', () => {
        const missing = input.uplinks.find((uplink) => this.badUplinks.has(uplink));
        if (missing !== undefined) return HostCommandFailed.fail(`There is no interface ${missing}.`, { reason: 'no-uplink' });
        this.switches.set(input.switchId, { mtu: input.mtu, uplinks: input.uplinks, generation: input.generation });
        return ok({ bridge: 'tk0' });
      })),
      hostHandler(hostSwitchRemove, (input) => this.once(input.commandId, 'switch.remove', () => {
        this.switches.delete(input.switchId);
        return ok({});
      })),
    ], { log: silentLog });
  }

  async stop(): Promise<void> {
    await this.serving?.close();
  }

  private async once<T>(commandId: string, what: string, work: () => Result<T> | Promise<Result<T>>): Promise<Result<T>> {
    const known = this.journal.get(commandId) as Promise<Result<T>> | undefined;
    if (known !== undefined) return known;
    const dies = this.diedAt.has(commandId) ? null : (this.dies?.(commandId) ?? null);
    if (dies !== null) this.diedAt.add(commandId);
    const died = HostUnreachable.fail('The agent has died.', { hostId: this.id });
    if (dies === 'intent') return died;
    this.done.push(what);
    const result = Promise.resolve(work());
    this.journal.set(commandId, result);
    if (dies === null) return result;
    await result;
    return died;
  }

  private async copy(input: { commandId: string; from: VolumePlace; to: VolumePlace; sizeBytes: number }, finish: () => Result<{ allocatedBytes: number }>): Promise<Result<{ allocatedBytes: number }>> {
    if (!this.world.files.has(fileOf(input.from))) return NotFoundOnHost.fail('no source', { noun: 'volume', id: input.from.volumeId });
    const { copyGate } = this.world;
    if (copyGate === undefined) return finish();
    const aborted = Promise.withResolvers<'aborted'>();
    this.aborts.set(input.commandId, () => { aborted.resolve('aborted'); });
    new BusClient({ connection: this.nats, service: 'host' }).report(this.id, hostVolumeProgress, {
      order: { bootId: 'b', epoch: 1, seq: 1 }, volumeId: input.to.volumeId, commandId: input.commandId, doneBytes: input.sizeBytes / 2, totalBytes: input.sizeBytes,
    });
    return (await Promise.race([copyGate, aborted.promise])) === 'aborted' ? CommandCancelled.fail('The copy was cancelled.') : finish();
  }
}
