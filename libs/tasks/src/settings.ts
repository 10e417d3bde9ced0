// The numbers of the engine. Tests make them small; nothing else should.
import { HELD_LEASE_MS } from './hold.ts';
import type { SlotLimits } from './slot.ts';

export interface TaskSettings {
  /** A claim lasts this long without renewal. */
  readonly leaseMs: number;
  readonly renewMs: number;
  /** How often each replica looks for tasks that nobody runs. */
  readonly sweepMs: number;
  /** Tasks running at once in this process. */
  readonly concurrency: number;
  /** How long faults that pass by themselves are tried again. */
  readonly retryForMs: number;
  /** How often a step may throw what nobody expected. */
  readonly mostErrors: number;
  /** A parked parent asks its child this often, in case that the event was lost. */
  readonly childLookMs: number;
  /** So long a step waits for the end of a child with its worker in hand; what takes longer parks. */
  readonly childNearMs: number;
  /** How long one try of a host command waits for its answer before it asks again. */
  readonly hostTryMs: number;
  /** How long running steps are given when the service stops. */
  readonly stopMs: number;
  readonly slots: SlotLimits;
}

export const defaultTaskSettings: TaskSettings = {
  leaseMs: 10_000, renewMs: 3_000, sweepMs: 2_000, concurrency: 16, retryForMs: 600_000, mostErrors: 5,
  childLookMs: 5_000, childNearMs: 300, hostTryMs: 20_000, stopMs: 8_000, slots: {},
};

/**
 * Beside them, in a process whose tasks a test holds: those that are held keep their place and the others must find one,
 * and what a killed process held is free again soon.
 */
export const heldTaskSettings: Partial<TaskSettings> = { concurrency: 512, leaseMs: HELD_LEASE_MS, renewMs: HELD_LEASE_MS / 3, sweepMs: 700, childLookMs: 1_500, hostTryMs: 5_000 };

/** Those that are held keep their slots too. */
export const roomForHeld = (slots: SlotLimits): SlotLimits => Object.fromEntries(Object.entries(slots).map(([name, most]) => [name, most * 100]));
