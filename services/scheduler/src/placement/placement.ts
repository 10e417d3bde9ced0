// Placement as a pure decision: filters that refuse a host with a reason a person can act on, and a weight that orders
// the rest. A host is refused by the first filter that it fails.
import type { Confinement, Demand, HostState, PlanNote, Refusal } from '#contracts';
import type { z } from 'zod';

export interface HostView {
  readonly hostId: string;
  readonly name: string;
  readonly clusterId: string;
  readonly connected: boolean;
  readonly maintenance: boolean;
  readonly stateText: string;
  readonly vcpusCapacity: number;
  readonly memoryCapacity: number;
  readonly vcpusClaimed: number;
  readonly memoryClaimed: number;
  /** What the host has, without any ratio: reservations are never over-committed. */
  readonly cpuMhz: number;
  readonly memoryPhysical: number;
  readonly cpuReserved: number;
  readonly memoryReserved: number;
}
export interface PlacementRequest {
  readonly clusterId: string;
  readonly demand: z.output<typeof Demand>;
  readonly confinements: readonly z.output<typeof Confinement>[];
  readonly preferHostId: string | null;
}
type RefusalValue = z.output<typeof Refusal>;
export interface Candidate { readonly hostId: string; readonly hostName: string; readonly score: number }
export interface Decision { readonly candidates: Candidate[]; readonly refusals: RefusalValue[] }
const notResponding: z.output<typeof HostState> = 'not-responding';
/** One that has joined and is not heard now, as long as nobody knows better. */
const isSilent = ({ connected, stateText }: HostView): boolean => !connected && stateText === notResponding;

interface Filter {
  readonly reason: RefusalValue['reason'];
  /** Why the host cannot take it, or null. */
  readonly refuse: (host: HostView, request: PlacementRequest) => string | null;
}

const mib = (bytes: number): string => `${Math.floor(bytes / 1024 / 1024)} MiB`;
const mhz = (value: number): string => `${value} MHz`;
const unknownOf = (all: number): string => (all === 0 ? '; what it has is not known yet' : '');

/** Of each resource what is left of what the host may promise or reserve, what is needed, and how both are said. */
function lacks(what: string, all: number, taken: number, needed: number, say: (value: number) => string, need: string): string | null {
  return all - taken >= needed ? null : `has ${say(Math.max(0, all - taken))} of ${say(all)} ${what}, ${say(needed)} ${need}`;
}
const confined = (reason: 'datastore' | 'network' | 'hardware' | 'pinned'): Filter => ({
  reason,
  refuse: (host, request) => request.confinements.find((rule) => rule.reason === reason && rule.hostIds !== null && !rule.hostIds.some((id) => id === host.hostId))?.text ?? null,
});

type Reserving = Pick<PlacementRequest['demand'], 'cpuReservedMhz' | 'memoryReservedBytes'>;
/** By what the host has, without any ratio. Who reserves nothing is never refused by it. */
const reservationFilters = {
  'memory-reservation': (host: HostView, { memoryReservedBytes }: Reserving): string | null => (memoryReservedBytes === 0 ? null
    : lacks('unreserved', host.memoryPhysical, host.memoryReserved, memoryReservedBytes, mib, `are to be reserved${unknownOf(host.memoryPhysical)}`)),
  'cpu-reservation': (host: HostView, { cpuReservedMhz }: Reserving): string | null => (cpuReservedMhz === 0 ? null
    : lacks('unreserved', host.cpuMhz, host.cpuReserved, cpuReservedMhz, mhz, `are to be reserved${unknownOf(host.cpuMhz)}`)),
} as const;

/** In the order in which they are asked; the cheapest and most telling first. */
export const filters: readonly Filter[] = [
  { reason: 'other-cluster', refuse: (host, request) => (host.clusterId === request.clusterId ? null : 'is in another cluster') },
  confined('pinned'),
  { reason: 'not-connected', refuse: (host) => (host.connected ? null : `is ${host.stateText}`) },
  { reason: 'maintenance', refuse: (host) => (host.maintenance ? 'is in maintenance mode' : null) },
  confined('datastore'),
  confined('network'),
  confined('hardware'),
  // By the cluster's ratios.
  { reason: 'memory', refuse: (host, { demand }) => lacks('unclaimed', host.memoryCapacity, host.memoryClaimed, demand.memoryBytes, mib, 'are needed') },
  { reason: 'cpu', refuse: (host, { demand }) => lacks('vCPUs unclaimed', host.vcpusCapacity, host.vcpusClaimed, demand.vcpus, String, 'are needed') },
  { reason: 'memory-reservation', refuse: (host, { demand }) => reservationFilters['memory-reservation'](host, demand) },
  { reason: 'cpu-reservation', refuse: (host, { demand }) => reservationFilters['cpu-reservation'](host, demand) },
];

/** Why a host cannot reserve so much; null = it can. */
export function refuseReservation(host: HostView, wanted: Reserving): RefusalValue | null {
  for (const reason of ['memory-reservation', 'cpu-reservation'] as const) {
    const text = reservationFilters[reason](host, wanted);
    if (text !== null) return refusalOf(host, reason, text);
  }
  return null;
}

/** A VM stays where it was unless another host is clearly emptier: its pages and images may still be cached there. */
const STAY_BONUS = 0.05;

/** The mean of the free shares of memory and CPU after placing, 0 to 1: the emptiest host first, so that load spreads. */
export function scoreOf(host: HostView, request: PlacementRequest): number {
  const memory = (host.memoryCapacity - host.memoryClaimed - request.demand.memoryBytes) / Math.max(1, host.memoryCapacity);
  const cpu = (host.vcpusCapacity - host.vcpusClaimed - request.demand.vcpus) / Math.max(1, host.vcpusCapacity);
  return (memory + cpu) / 2 + (request.preferHostId === host.hostId ? STAY_BONUS : 0);
}

/** Every host is either a candidate, best first (ties by id), or refused with a reason. */
export function decide(hosts: readonly HostView[], request: PlacementRequest): Decision {
  const candidates: Candidate[] = [];
  const refusals: RefusalValue[] = [];
  for (const host of hosts) {
    const refusal = firstRefusal(host, request);
    if (refusal) refusals.push(refusal);
    else candidates.push({ hostId: host.hostId, hostName: host.name, score: scoreOf(host, request) });
  }
  candidates.sort((a, b) => b.score - a.score || (a.hostId < b.hostId ? -1 : 1));
  return { candidates, refusals };
}

/** The hosts that would take it if they were heard again, best first. */
export const silentCandidates = (hosts: readonly HostView[], request: PlacementRequest): Candidate[] =>
  decide(hosts.filter(isSilent).map((host) => ({ ...host, connected: true })), request).candidates;

function firstRefusal(host: HostView, request: PlacementRequest): RefusalValue | null {
  for (const { reason, refuse } of filters) {
    const text = refuse(host, request);
    if (text !== null) return refusalOf(host, reason, text);
  }
  return null;
}

const refusalOf = (host: HostView, reason: RefusalValue['reason'], text: string): RefusalValue =>
  ({ hostId: host.hostId as RefusalValue['hostId'], hostName: host.name, reason, text });

/** Where the VM would go and why not elsewhere. Everybody may know where; about the other hosts only who may read placements. */
export function wordsOfPlacement({ clusterId }: PlacementRequest, { candidates, refusals }: Decision): PlanNote[] {
  const seenWith = (id: string): Pick<PlanNote, 'seenWith'> => ({ seenWith: { permission: 'placement.read', id, clusterId } });
  const [best, ...others] = candidates;
  return [
    ...(best ? [{ text: `${best.hostName} takes it: it has most room left, weight ${best.score.toFixed(2)}`, details: { ...best, chosen: true } }] : []),
    ...others.map((host) => ({ text: `${host.hostName} could take it too, weight ${host.score.toFixed(2)}`, details: { ...host, chosen: false }, ...seenWith(host.hostId) })),
    ...refusals.map((refusal) => ({ text: `${refusal.hostName} ${refusal.text}`, details: { ...refusal }, ...seenWith(refusal.hostId) })),
  ];
}

/** What a host may promise, by the ratios of its cluster. */
export function capacityOf(host: { logicalCpus: number; memoryBytes: number }, cluster: { cpuOvercommit: number; memoryOvercommit: number }): { vcpus: number; memoryBytes: number } {
  return { vcpus: Math.floor(host.logicalCpus * cluster.cpuOvercommit), memoryBytes: Math.floor(usableBytes(host.memoryBytes) * cluster.memoryOvercommit) };
}

/** Memory that VMs may have for good: what the host keeps for itself is not theirs. */
export const usableBytes = (memoryBytes: number): number => Math.max(0, memoryBytes - reservedBytes(memoryBytes));

/** A twentieth of the memory, at least 512 MiB: kernel, agent, Open vSwitch, QEMU's own overhead. */
const reservedBytes = (memoryBytes: number): number => Math.max(512 * 1024 * 1024, Math.floor(memoryBytes / 20));
