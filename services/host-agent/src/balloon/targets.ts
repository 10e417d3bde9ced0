// How much of its memory each guest of a host shall have. Pure. A guest's limit holds always; what the host is short of is
// taken by shares from guests that have memory to spare, and given back by shares when there is enough again.
import type { HostVmSpec } from '#contracts';
import { leastMemory } from '#contracts';
import { shareOut } from '../share-out.ts';

export interface HostMemory {
  /** What programs could still take without any of it being written out. */
  readonly availableBytes: number;
  /** What shall stay available. */
  readonly keptBytes: number;
}
export interface Guest extends Pick<HostVmSpec, 'memoryBytes' | 'memoryService'> {
  readonly actualBytes: number;
  /** What it was last told to have. */
  readonly targetBytes: number;
  /** What its programs could still take; null = it says nothing. */
  readonly availableBytes: number | null;
  readonly hasDriver: boolean;
}

const MiB = 1024 * 1024;
/** What is given back before it is plainly there would be taken again: between the two nothing moves. */
const enough = (kept: number): number => kept + kept / 4;

export const isShort = ({ availableBytes, keptBytes }: HostMemory): boolean => availableBytes < keptBytes;

/** The least that a guest is left with: its reservation, and what any guest needs. */
export const floorOf = ({ memoryBytes, memoryService: { reservation } }: Pick<Guest, 'memoryBytes' | 'memoryService'>): number =>
  Math.min(memoryBytes, Math.max(reservation, leastMemory(memoryBytes)));

/** The most: its memory, or less by its limit, which does not reach below the floor. */
export const ceilingOf = (guest: Pick<Guest, 'memoryBytes' | 'memoryService'>): number =>
  Math.max(floorOf(guest), Math.min(guest.memoryBytes, guest.memoryService.limit ?? guest.memoryBytes));

/** What its programs use and some room, so that it need not throw out what it works with; half, where it says nothing. */
function neededBy(guest: Guest): number {
  if (guest.availableBytes === null) return clamp(guest.memoryBytes / 2, floorOf(guest), ceilingOf(guest));
  const room = Math.max(16 * MiB, guest.memoryBytes / 16);
  return clamp(guest.actualBytes - Math.max(0, guest.availableBytes - room), floorOf(guest), ceilingOf(guest));
}

/** In the order of the guests, whole MiB. */
export function targetsOf(host: HostMemory, guests: readonly Guest[]): number[] {
  const movable = guests.filter(({ hasDriver }) => hasDriver);
  const moved = new Map(moves(host, movable).map((bytes, index) => [movable[index]!, bytes]));
  // One without a driver is told its limit all the same: a driver that comes later finds it.
  return guests.map((guest) => wholeMiB(moved.get(guest) ?? ceilingOf(guest), guest));
}

function moves(host: HostMemory, guests: readonly Guest[]): number[] {
  const has = guests.reduce((sum, { actualBytes }) => sum + actualBytes, 0);
  const spareBytes = host.availableBytes - enough(host.keptBytes);
  const within = (guest: Guest, bytes: number): number => clamp(bytes, floorOf(guest), ceilingOf(guest));
  if (isShort(host)) {
    return shareOut(has + spareBytes, guests.map((guest) => {
      const most = within(guest, guest.actualBytes);
      return { shares: guest.memoryService.shares, least: Math.min(neededBy(guest), most), most };
    }));
  }
  if (spareBytes < 0) return guests.map((guest) => within(guest, guest.targetBytes));
  return shareOut(has + spareBytes, guests.map((guest) => ({ shares: guest.memoryService.shares, least: within(guest, guest.actualBytes), most: ceilingOf(guest) })));
}

const clamp = (value: number, least: number, most: number): number => Math.min(Math.max(value, least), most);
/** Rounded to what a balloon can be told, and never below the floor by it. */
const wholeMiB = (bytes: number, guest: Guest): number => Math.min(guest.memoryBytes, Math.max(Math.round(bytes / MiB), Math.ceil(floorOf(guest) / MiB)) * MiB);
