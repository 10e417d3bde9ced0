// Counts per operation, in the terms of the NATS service protocol, and what was dropped unanswered.

export interface Counts {
  requests: number;
  errors: number;
  lastError: string;
  processingMs: number;
}

export class Tally {
  /** Requests without a reply subject: nothing was run. */
  noReply = 0;
  /** Requests whose reply subject was not an inbox: nothing was run and nothing published. */
  badReply = 0;
  /** Requests for operations that the service does not have. */
  unknown = 0;
  private readonly perName = new Map<string, Counts>();

  count(name: string, tookMs: number, errorCode: string | undefined): void {
    const counts = this.of(name);
    counts.requests += 1;
    counts.processingMs += tookMs;
    if (errorCode === undefined) return;
    counts.errors += 1;
    counts.lastError = errorCode;
  }

  of(name: string): Counts {
    let counts = this.perName.get(name);
    if (!counts) this.perName.set(name, (counts = { requests: 0, errors: 0, lastError: '', processingMs: 0 }));
    return counts;
  }
}
