// Placement as a pure decision: filters that refuse a host with a reason a person can act on, and a weight that orders
// the rest. A host is refused by the first filter that it fails.
import type { Confinement, Demand, Refusal } from '#contracts';
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

interface Filter {
  readonly reason: RefusalValue['reason'];
  /** Why the host cannot take it, or null. */
  readonly refuse: (host: HostView, request: PlacementRequest) => string | null;
}

const mib = (bytes: number): string => `${Math.floor(bytes / 1024 / 1024)} MiB`;
const confined = (reason: 'datastore' | 'network' | 'hardware' | 'pinned'): Filter => ({
  reason,
  refuse: (host, request) => request.confinements.find((rule) => rule.reason === reason && rule.hostIds !== null && !rule.hostIds.some((id) => id === host.hostId))?.text ?? null,
});

/** In the order in which they are asked; the cheapest and most telling first. */
export const filters: readonly Filter[] = [
  { reason: 'other-cluster', refuse: (host, request) => (host.clusterId === request.clusterId ? null : 'is in another cluster') },
  confined('pinned'),
  { reason: 'not-connected', refuse: (host) => (host.connected ? null : `is ${host.stateText}`) },
  { reason: 'maintenance', refuse: (host) => (host.maintenance ? 'is in maintenance mode' : null) },
  confined('datastore'),
  confined('network'),
  confined('hardware'),
  {
    reason: 'memory',
    refuse: (host, { demand }) => {
      const free = host.memoryCapacity - host.memoryClaimed;
      return free >= demand.memoryBytes ? null : `has ${mib(Math.max(0, free))} of ${mib(host.memoryCapacity)} unclaimed, ${mib(demand.memoryBytes)} are needed`;
    },
  },
  {
    reason: 'cpu',
    refuse: (host, { demand }) => {
      const free = host.vcpusCapacity - host.vcpusClaimed;
      return free >= demand.vcpus ? null : `has ${Math.max(0, free)} of ${host.vcpusCapacity} vCPUs unclaimed, ${demand.vcpus} are needed`;
    },
  },
];

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

function firstRefusal(host: HostView, request: PlacementRequest): RefusalValue | null {
  for (const { reason, refuse } of filters) {
    const text = refuse(host, request);
    if (text !== null) return { hostId: host.hostId as RefusalValue['hostId'], hostName: host.name, reason, text };
  }
  return null;
}

/** What a host may promise: `reservedBytes` of its memory stay for itself. */
export function capacityOf(host: { logicalCpus: number; memoryBytes: number }, cluster: { cpuOvercommit: number; memoryOvercommit: number }): { vcpus: number; memoryBytes: number } {
  const usable = Math.max(0, host.memoryBytes - reservedBytes(host.memoryBytes));
  return { vcpus: Math.floor(host.logicalCpus * cluster.cpuOvercommit), memoryBytes: Math.floor(usable * cluster.memoryOvercommit) };
}

/** A twentieth of the memory, at least 512 MiB: kernel, agent, Open vSwitch, QEMU's own overhead. */
export const reservedBytes = (memoryBytes: number): number => Math.max(512 * 1024 * 1024, Math.floor(memoryBytes / 20));
