// One request on its way through the door.
import type { BusContext } from '#bus';
import type { Door } from '#contracts';
import type { Caller } from '../caller/callers.client.ts';

export interface Call {
  /** Contract name, or the name of a fixed route. For logs and numbers: it has a bound, paths have none. */
  readonly name: string;
  readonly door: Door;
  readonly traceId: string;
  /** Who speaks to us, as the network shows it. */
  readonly address: string;
  readonly startedAt: number;
  caller: Caller | undefined;
  /** Code of the refusal, if it was one. */
  refused: string | undefined;
  /** Ends the span of the request. */
  end(): void;
  /** Makes the bus context that carries actor, trace and time left on. */
  context(timeoutMs: number, signal: AbortSignal, idempotencyKey: string | null): BusContext;
}

declare module 'fastify' {
  interface FastifyRequest {
    call: Call | null;
  }
}
