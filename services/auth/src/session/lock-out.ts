// How long failed sign-ins make the next one wait: nothing for the first few, then twice as long each time, up to a
// limit. A lock always ends by itself, so that nobody can be shut out for ever by somebody else.

export interface Policy {
  /** Tries that cost nothing. */
  readonly free: number;
  readonly firstMs: number;
  readonly longestMs: number;
}

export const scopes = ['account', 'address'] as const;
export type Scope = (typeof scopes)[number];

/** An address stands for many people behind one door, so it may fail more often. */
export const policies: Readonly<Record<Scope, Policy>> = {
  account: { free: 10, firstMs: 1_000, longestMs: 300_000 },
  address: { free: 50, firstMs: 1_000, longestMs: 300_000 },
};

/** Failures are forgotten when so long nobody has failed. */
export const forgetAfterMs = 3_600_000;

/** The wait after the `failures`th failure in a row, ms. */
export const waitMs = ({ free, firstMs, longestMs }: Policy, failures: number): number =>
  failures < free ? 0 : Math.min(longestMs, firstMs * 2 ** Math.min(failures - free, 30));
