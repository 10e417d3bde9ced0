// Random bytes for ids, many at a time: a question to the system for each costs more than all else about an id. Not for secrets,
// which nothing may keep in memory beside their owner.
import { randomFillSync } from 'node:crypto';

const pool = Buffer.alloc(4096);
let used = pool.length;

/** Where in the pool the next `count` bytes are; nobody else gets them. */
function next(count: number): number {
  if (used + count > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  used += count;
  return used - count;
}

/** Random bytes, at most as many as the pool has, into `target` from its beginning. */
export function fillRandom(target: Buffer): void {
  const at = next(target.length);
  pool.copy(target, 0, at, at + target.length);
}

/** `count` random bytes as hex digits. */
export function randomHex(count: number): string {
  const at = next(count);
  return pool.toString('hex', at, at + count);
}
