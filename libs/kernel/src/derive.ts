// Secrets that nobody stores: made again from one master key and what they are about.
import { createHmac, hkdfSync } from 'node:crypto';

/** By master key and purpose, of which there are few; deriving one takes ten times as long as using it. */
const known = new WeakMap<Buffer, Map<string, Buffer>>();

/** The key for one purpose; from it nobody finds the master key or another purpose's. 32 bytes. */
export function keyFor(master: Buffer, purpose: string): Buffer {
  const keys = known.get(master) ?? new Map<string, Buffer>();
  known.set(master, keys);
  const key = keys.get(purpose) ?? Buffer.from(hkdfSync('sha256', master, '', purpose, 32));
  keys.set(purpose, key);
  return key;
}

/** 32 bytes, the same for the same purpose and text. */
export const derivedSecret = (master: Buffer, purpose: string, about: string): Buffer => createHmac('sha256', keyFor(master, purpose)).update(about).digest();
