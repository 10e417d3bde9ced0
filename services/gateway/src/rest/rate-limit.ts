// Token buckets, one per key, in the memory of this process: a key may spend `burst` at once and `perSecond` for ever.
// Bounded: of too many keys the one that was used longest ago is forgotten, which only gives it a full bucket.
import type { Clock } from '#kernel';

interface Bucket {
  tokens: number;
  at: number;
}

export class RateLimit {
  private readonly buckets = new Map<string, Bucket>();

  constructor(
    private readonly perSecond: number,
    private readonly burst: number,
    private readonly clock: Clock,
    private readonly mostKeys = 10_000,
  ) {}

  /** 0 = go on; else the time until one more is allowed, ms. */
  take(key: string): number {
    const now = this.clock.monotonic();
    const bucket = this.buckets.get(key) ?? this.add(key, now);
    bucket.tokens = Math.min(this.burst, bucket.tokens + ((now - bucket.at) / 1000) * this.perSecond);
    bucket.at = now;
    if (bucket.tokens < 1) return Math.max(1, Math.ceil(((1 - bucket.tokens) / this.perSecond) * 1000));
    bucket.tokens -= 1;
    return 0;
  }

  private add(key: string, now: number): Bucket {
    if (this.buckets.size >= this.mostKeys) this.forgetHalf();
    const bucket = { tokens: this.burst, at: now };
    this.buckets.set(key, bucket);
    return bucket;
  }

  /** The half that was used longest ago; once for many keys, so that it costs nothing per request. */
  private forgetHalf(): void {
    const byUse = [...this.buckets].sort(([, a], [, b]) => a.at - b.at);
    for (const [key] of byUse.slice(0, Math.ceil(byUse.length / 2))) this.buckets.delete(key);
  }
}
