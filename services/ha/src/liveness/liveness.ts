// Which hosts respond, as a pure decision over what was heard. It looks only at this process's own monotonic clock:
// what stands in a heartbeat is never compared with a local time. It tells; it does not act.

export interface Watched {
  readonly hostId: string;
  readonly state: 'connected' | 'not-responding';
  /** Monotonic ms of the last heartbeat heard by this process; null = none since it listens. */
  readonly heardAt: number | null;
}
export interface Observation {
  readonly now: number;
  /** Monotonic ms since when this process hears everything: its start, or its last reconnection to the bus. */
  readonly listeningSince: number;
  /** Whether the bus carried a message of our own just now. Without it silence proves nothing. */
  readonly canary: boolean;
}
export interface Change { readonly hostId: string; readonly state: Watched['state'] }

/** Heartbeats come every second; this much silence means that a host does not respond, ms. */
export const SILENCE_MS = 6_000;

/** A host that was heard lately responds; one silent for SILENCE_MS, while we could hear, does not. */
export function judge(hosts: readonly Watched[], seen: Observation, silenceMs: number = SILENCE_MS): Change[] {
  return hosts.flatMap((host): Change[] => {
    const silentFor = seen.now - Math.max(host.heardAt ?? -Infinity, seen.listeningSince);
    const heard = host.heardAt !== null && seen.now - host.heardAt < silenceMs;
    if (heard) return host.state === 'connected' ? [] : [{ hostId: host.hostId, state: 'connected' }];
    if (!seen.canary || silentFor < silenceMs || host.state === 'not-responding') return [];
    return [{ hostId: host.hostId, state: 'not-responding' }];
  });
}
