// Cuts a stream of chunks into pieces of one size with their offsets, and counts and digests what went by.
import { createHash } from 'node:crypto';

/** Small enough that a piece in base64 with its envelope stays below the bus's limit of 1 MiB. */
export const pieceBytes = 512 * 1024;

export interface Piece {
  readonly offset: number;
  readonly data: Buffer;
}

export class Pieces {
  private readonly digest = createHash('sha256');
  private waiting: Buffer[] = [];
  private waitingBytes = 0;
  private taken = 0;

  constructor(private readonly size: number = pieceBytes) {}

  get bytes(): number {
    return this.taken + this.waitingBytes;
  }

  /** The full pieces that this chunk completes. */
  add(chunk: Buffer): Piece[] {
    this.digest.update(chunk);
    this.waiting.push(chunk);
    this.waitingBytes += chunk.length;
    if (this.waitingBytes < this.size) return [];
    const all = Buffer.concat(this.waiting);
    const full = all.length - (all.length % this.size);
    const pieces = Array.from({ length: full / this.size }, (_, index) => this.take(all.subarray(index * this.size, (index + 1) * this.size)));
    this.waiting = full < all.length ? [all.subarray(full)] : [];
    this.waitingBytes = all.length - full;
    return pieces;
  }

  /** What is left, shorter than a piece, and the digest of all; to be called once, at the end. */
  end(): { readonly last: Piece | undefined; readonly sizeBytes: number; readonly sha256: string } {
    const rest = Buffer.concat(this.waiting);
    this.waiting = [];
    this.waitingBytes = 0;
    const last = rest.length > 0 ? this.take(rest) : undefined;
    return { last, sizeBytes: this.taken, sha256: this.digest.digest('hex') };
  }

  private take(data: Buffer): Piece {
    const piece = { offset: this.taken, data };
    this.taken += data.length;
    return piece;
  }
}
