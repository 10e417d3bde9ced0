// The agent's side of the bus: one subscription per host command, never a wildcard, and the same answers, limits and
// drain as in a service.
import type { NatsConnection } from '@nats-io/transport-node';
import type { HostOperation, InputOf, ReplyOf } from '#contracts';
import { hostSubject } from '#contracts';
import type { Result } from '#kernel';
import type { BusContext, BusLog } from './context.ts';
import { hostEndpoint } from './endpoint.ts';
import { isSubjectToken } from './headers.ts';
import { defaultLimits } from './limits.ts';
import type { Limits } from './limits.ts';
import { Responder } from './responder.nats.ts';
import type { Tally } from './tally.ts';

export type HostHandler<O extends HostOperation> = (input: InputOf<O>, ctx: BusContext) => Promise<Result<ReplyOf<O>> | ReplyOf<O>>;

/** A command and what carries it out; made by `hostHandler` so that the two fit. */
export interface HostRoute {
  readonly operation: HostOperation;
  readonly run: (input: unknown, ctx: BusContext) => unknown;
}
export type HostHandlers = readonly HostRoute[];

export const hostHandler = <O extends HostOperation>(operation: O, handle: HostHandler<O>): HostRoute => ({
  operation,
  run: (input, ctx) => handle(input as InputOf<O>, ctx), // the responder has parsed it with operation.input
});

export interface HostServerOptions {
  readonly log: BusLog;
  readonly limits?: Partial<Limits>;
}

export interface ServingHost {
  readonly tally: Tally;
  /** Finishes and answers what has been received. Leaves the connection open. */
  close(): Promise<void>;
}

/** Serves the commands of one host; resolves when the NATS server has the subscriptions. */
export async function serveHost(connection: NatsConnection, hostId: string, handlers: HostHandlers, options: HostServerOptions): Promise<ServingHost> {
  if (!isSubjectToken(hostId)) throw new Error(`"${hostId}" cannot be part of a subject`);
  const responder = new Responder({ connection, log: options.log, limits: { ...defaultLimits, ...options.limits } });
  const seen = new Set<string>();
  for (const { operation, run } of handlers) {
    if (seen.has(operation.name)) throw new Error(`host command ${operation.name} has two handlers`);
    seen.add(operation.name);
    const endpoint = hostEndpoint(operation, hostSubject(hostId, operation), run);
    responder.subscribe(endpoint.subject, undefined, () => endpoint);
  }
  await connection.flush();
  let closing: Promise<void> | undefined;
  return { tally: responder.tally, close: () => (closing ??= responder.drain()) };
}
