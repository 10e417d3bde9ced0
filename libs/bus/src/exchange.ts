// One message from its arrival to its answer. It is answered exactly once, whoever comes first: the handler, the
// deadline, or the end of the service.
import type { Fault, Result } from '#kernel';
import type { Deadline } from './deadline.ts';
import type { Endpoint } from './endpoint.ts';

/** Hands the outcome to whoever publishes answers and counts. */
export type Answer = (exchange: Exchange, outcome: Result<unknown>) => void;

export class Exchange {
  private readonly controller = new AbortController();
  private done = false;
  /** Set when a handler's turn has come; monotonic ms. */
  startedAt: number | null = null;

  constructor(
    readonly endpoint: Endpoint,
    readonly subject: string,
    readonly deadline: Deadline,
    public traceId: string | undefined,
    private readonly answer: Answer,
  ) {}

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  get settled(): boolean {
    return this.done;
  }

  settle(outcome: Result<unknown>): void {
    if (this.done) return;
    this.done = true;
    this.answer(this, outcome);
  }

  /** Answers `fault` now and tells the handler that nobody waits any more. */
  giveUp(fault: Fault): void {
    this.settle({ ok: false, fault });
    this.controller.abort();
  }
}
