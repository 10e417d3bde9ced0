// UUIDv7 (RFC 9562 section 5.7): ids sort by time of making, so that they stay close together in an index.
import { createHash } from 'node:crypto';
import { fillRandom } from './random.ts';

let lastMs = 0;
let sequence = 0;
const bytes = Buffer.alloc(16);

/** A new UUIDv7, strictly increasing within this process (12-bit counter in rand_a). */
export function newUuid(nowMs: number = Date.now()): string {
  fillRandom(bytes);
  if (nowMs > lastMs) {
    lastMs = nowMs;
    sequence = bytes.readUInt16BE(0) & 0x7ff;
  } else if (++sequence > 0xfff) {
    lastMs += 1;
    sequence = 0;
  }
  bytes.writeUIntBE(lastMs, 0, 6);
  bytes.writeUInt16BE(0x7000 | sequence, 6);
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return written(bytes);
}

/** The same UUID for the same text, whoever makes it (version 8 of RFC 9562: made from a SHA-256). */
export function idFrom(text: string): string {
  const digest = createHash('sha256').update(text).digest().subarray(0, 16);
  digest[6] = (digest[6]! & 0x0f) | 0x80;
  digest[8] = (digest[8]! & 0x3f) | 0x80;
  return written(digest);
}

function written(id: Buffer): string {
  const hex = id.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
