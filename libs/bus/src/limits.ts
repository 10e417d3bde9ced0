// How much one connection takes on at a time.
export interface Limits {
  /** Handlers that run at the same time. */
  readonly running: number;
  /** Messages that wait for a free handler; the next one is refused with OVERLOADED. */
  readonly waiting: number;
  /** Largest body that is parsed, bytes. */
  readonly bodyBytes: number;
  /** How long `close()` waits for what has been received, ms. */
  readonly graceMs: number;
}

export const defaultLimits: Limits = { running: 64, waiting: 4096, bodyBytes: 1024 * 1024, graceMs: 20_000 };
