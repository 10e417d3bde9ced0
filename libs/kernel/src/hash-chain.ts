// A chain of records: each hash covers the record, its place and the hash before, so none can be changed, removed or moved
// without all hashes behind it changing too.
import { createHash } from 'node:crypto';
import { canonicalJson } from './canonical-json.ts';

/** What stands before the first record. */
export const chainStart = '0'.repeat(64);

/** `record` as its canonical text, or as the value. */
export const linkHash = (before: string, seq: number, record: unknown): string =>
  createHash('sha256').update(`${before}\n${seq}\n${typeof record === 'string' ? record : canonicalJson(record)}`).digest('hex');
