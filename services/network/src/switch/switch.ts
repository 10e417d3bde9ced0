// A distributed switch and the hosts that carry it: what has to be done where. Pure.
import type { DistributedSwitch as Contract, HostId, SwitchId, Uplink } from '#contracts';
import type { z } from 'zod';

export type DistributedSwitch = z.output<typeof Contract>;
export type UplinkList = readonly z.infer<typeof Uplink>[];
export type HostApplyState = DistributedSwitch['hosts'][number]['state'];

/** What a person decides about a switch. */
export interface SwitchSpec {
  readonly name: string;
  readonly description: string;
  readonly mtu: number;
  readonly uplinks: UplinkList;
}

/** One host's part of a switch. */
export interface SwitchHost {
  readonly hostId: HostId;
  /** false = the host has to forget the switch. */
  readonly wanted: boolean;
  readonly state: HostApplyState;
  readonly reason: string | null;
  /** Counts what was sent to the host; makes the command's id. */
  readonly attempt: number;
  readonly recheck: boolean;
  /** What compute says of the host; null = nothing. */
  readonly hostState: string | null;
}

export interface StoredSwitch extends SwitchSpec {
  readonly id: SwitchId;
  readonly number: number;
  readonly generation: number;
  readonly deleting: boolean;
  readonly hosts: readonly SwitchHost[];
  readonly version: number;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export const switchView = (stored: StoredSwitch): DistributedSwitch => ({
  id: stored.id, name: stored.name, description: stored.description, mtu: stored.mtu, uplinks: [...stored.uplinks],
  hosts: stored.hosts.map(({ hostId, state, reason, wanted }) => ({ hostId, state, reason: reason ?? (wanted ? null : 'to be removed from this host') })),
  number: stored.number, version: stored.version, createdAt: stored.createdAt, updatedAt: stored.updatedAt,
});

/** Hosts whose part is not as it must be and who can be told now. */
export const dueHosts = (stored: StoredSwitch): SwitchHost[] =>
  stored.hosts.filter((host) => host.hostState === 'connected' && (host.state === 'pending' || host.recheck));

/** Hosts on which VMs may be plugged into the switch. */
export const carryingHosts = (stored: StoredSwitch): HostId[] => stored.hosts.filter((host) => host.wanted && host.state === 'applied').map((host) => host.hostId);

export const uplinksOf = (spec: SwitchSpec, hostId: string): string[] => spec.uplinks.find((uplink) => uplink.hostId === hostId)?.names ?? [];

/** Rises with every generation and every repetition: a host answers an id it knows from its journal. */
export const applyCommandId = (stored: StoredSwitch, host: SwitchHost): string => `network.switch/${stored.id}/${stored.generation}/${host.attempt}/${host.wanted ? 'apply' : 'remove'}`;

/** Whether hosts have to hear of the change. */
export const concernsHosts = (before: SwitchSpec, after: SwitchSpec): boolean =>
  before.name !== after.name || before.mtu !== after.mtu || JSON.stringify(before.uplinks) !== JSON.stringify(after.uplinks);

/** Hosts that every one of the lists has; null = no list, no demand. */
export function commonHosts(lists: readonly (readonly HostId[])[]): HostId[] | null {
  const [first, ...others] = lists;
  if (first === undefined) return null;
  return first.filter((id) => others.every((list) => list.includes(id)));
}
