// How much of its memory a guest has, and how little it may be left with: the rule that agent and services go by alike.
import { z } from 'zod';
import { Bytes, MiB } from '../values.ts';

/**
 * `no-driver` = nothing in the guest drives the balloon, so its memory cannot be taken back; `settled` = the guest has what
 * it shall have; `moving` = it gives or takes; `stuck` = it should, and has not moved for half a minute.
 */
export const BalloonState = z.enum(['no-driver', 'settled', 'moving', 'stuck']);
export const GuestMemory = z.strictObject({
  balloon: BalloonState,
  actualBytes: Bytes.describe('what the guest has: its memory without what the balloon holds'),
  targetBytes: Bytes.describe('what the host wants it to have'),
  availableBytes: Bytes.nullable().describe('what its programs could still take, by the guest’s own word; null = it says nothing'),
});
export type GuestMemory = z.infer<typeof GuestMemory>;

/** Below this a guest may not even start its programs, bytes: a quarter of its memory, and 64 MiB where it has as much. */
export const leastMemory = (memoryBytes: number): number => Math.min(memoryBytes, Math.max(64 * MiB, Math.floor(memoryBytes / 4)));
