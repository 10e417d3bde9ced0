// Datastores: what a probe of a directory on several hosts says about it, and which datastore to take. Pure.
import { HostNotConnected, HostUnreachable, NotFound, WrongState } from '#contracts';
import type { Datastore, DatastoreId, HostId } from '#contracts';
import type { Failed, Fault, Result } from '#kernel';
import { failed, ok } from '#kernel';
import { spaceFault } from '../volume/volume.ts';

export interface HostView {
  readonly hostId: HostId;
  /** The host's last probe found the datastore. */
  readonly seen: boolean;
  /** What compute says of the host; null = nothing yet. */
  readonly hostState: string | null;
  readonly reason: string | null;
}

/** A host that compute has said nothing about counts as connected: the probe has just spoken with it. */
export const isConnected = (host: HostView): boolean => host.seen && (host.hostState === null || host.hostState === 'connected');
/** It saw the datastore when it was heard last, which should be soon again. */
export const isSilent = (host: HostView): boolean => host.seen && host.hostState === 'not-responding';
/** Whether a VM that needs the datastore may be put there; whether the host is heard now is another question. */
export const seesIt = (host: HostView): boolean => isConnected(host) || isSilent(host);

export const hostView = (host: HostView): Datastore['hosts'][number] => {
  const connected = isConnected(host);
  return { hostId: host.hostId, connected, reason: connected ? null : (host.reason ?? `the host is ${host.hostState ?? 'unknown'}`) };
};

/** The host to work on: the wanted one if it is there, else the first; HOST_UNREACHABLE when all that see it are silent now, HOST_NOT_CONNECTED when none sees it. */
export function workHost(hosts: readonly HostView[], wanted: string | null): Result<HostId> {
  const connected = hosts.filter(isConnected);
  const chosen = connected.find((host) => host.hostId === wanted) ?? connected[0];
  if (chosen !== undefined) return ok(chosen.hostId);
  const silent = hosts.filter(isSilent);
  const awaited = silent.find((host) => host.hostId === wanted) ?? silent[0];
  if (awaited !== undefined) return HostUnreachable.fail('No host that sees the datastore responds.', { hostId: awaited.hostId });
  return HostNotConnected.fail('No connected host sees the datastore.', { hostId: wanted ?? hosts[0]?.hostId ?? '' });
}

/** Hosts that see both. */
export const seeingBoth = (a: readonly HostView[], b: readonly HostView[]): HostView[] =>
  a.filter((host) => seesIt(host) && b.some((other) => other.hostId === host.hostId && seesIt(other)));

export interface Candidate {
  readonly id: DatastoreId;
  readonly scope: Datastore['scope'];
  readonly availableBytes: number;
  readonly hosts: readonly HostView[];
}

export interface Wanted {
  readonly sizeBytes: number;
  readonly hostId: HostId | null;
  readonly sharedFirst: boolean;
}

/** The one with most free space that can take the bytes and that the host sees; shared ones first if wanted. HOST_UNREACHABLE where those that see any are silent now. */
export function chooseDatastore(all: readonly Candidate[], wanted: Wanted): Result<{ datastoreId: DatastoreId; hostIds: HostId[] }> {
  const isWanted = (host: HostView): boolean => wanted.hostId === null || host.hostId === wanted.hostId;
  const seen = all.filter((store) => store.hosts.some((host) => isConnected(host) && isWanted(host)));
  const rank = (store: Candidate): number => (wanted.sharedFirst && store.scope === 'shared' ? 0 : 1);
  const ordered = [...seen].sort((a, b) => rank(a) - rank(b) || b.availableBytes - a.availableBytes || (a.id < b.id ? -1 : 1));
  const chosen = ordered.find((store) => store.availableBytes >= wanted.sizeBytes);
  if (chosen !== undefined) return ok({ datastoreId: chosen.id, hostIds: chosen.hosts.filter(seesIt).map((host) => host.hostId) });
  const roomiest = [...seen].sort((a, b) => b.availableBytes - a.availableBytes)[0];
  const fault = roomiest && spaceFault(roomiest.id, roomiest.availableBytes, wanted.sizeBytes);
  if (fault) return failed(fault);
  const silent = all.flatMap((store) => store.hosts).find((host) => isSilent(host) && isWanted(host));
  if (silent !== undefined) return HostUnreachable.fail('No host that sees a datastore responds.', { hostId: silent.hostId });
  return NotFound.fail('There is no datastore that a connected host sees.', { noun: 'datastore', id: '' });
}

/** What a directory's marker says about using it as datastore. */
export type Identity = { readonly kind: 'fresh' } | { readonly kind: 'ours'; readonly id: DatastoreId };

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * A marker that no registered datastore has is the trace of one that was unregistered, or of a registration that died:
 * the directory gets that id back. With volumes in it it is somebody else's, and nobody touches it.
 */
export function identify(marker: string | null, facts: { readonly registered: boolean; readonly hasVolumes: boolean }): Result<Identity> {
  if (marker === null) return ok({ kind: 'fresh' });
  if (!uuid.test(marker)) return foreign('The directory carries a marker of something else.');
  if (facts.registered) return foreign('The directory is registered as a datastore already.');
  if (facts.hasVolumes) return foreign('The directory holds volumes of another installation.');
  return ok({ kind: 'ours', id: marker as DatastoreId });
}

const foreign = (text: string): Failed => WrongState.fail(text, { state: 'in-use', allowed: ['empty', 'unregistered'] });

/** The other hosts must find the marker that the first one has: else they look at another directory of the same name. */
export function sameDirectory(hostId: string, marker: string | null, expected: string): Fault | undefined {
  if (marker === expected) return undefined;
  const text = marker === null ? 'another directory, without the datastore’s marker' : 'the directory of another datastore';
  return WrongState.fault(`Host ${hostId} sees ${text} under this path.`, { state: marker === null ? 'not-shared' : 'in-use', allowed: ['shared'] });
}
