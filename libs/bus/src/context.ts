// What a handler knows about a call besides its input: who, until when, under which trace.
import type { Actor, Door } from '#contracts';
import type { Result } from '#kernel';
import type { Deadline } from './deadline.ts';
import type { PlanDraft } from './plan-draft.ts';

export interface BusContext {
  /** The signed-in user on whose behalf the call is made; null for a service on its own behalf and for public operations. */
  readonly actor: Actor | null;
  /** A service calls on its own behalf: every right. NATS lets only holders of a service credential publish here. */
  readonly system: boolean;
  /** The text that proved `actor`; kept so that it can travel on and into tasks. */
  readonly actorToken: string | null;
  /** Name of the calling service, where `system`. */
  readonly caller: string | null;
  readonly idempotencyKey: string | null;
  /** Set where the caller only asks what would happen: everything is decided as it would be, and nothing of it stays. */
  readonly dryRun?: PlanDraft;
  /** The way in that the user came by; absent = a service asks. */
  readonly door?: Door;
  readonly deadline: Deadline;
  /** Aborts at the deadline, and when the service stops without waiting any longer. */
  readonly signal: AbortSignal;
  /** W3C trace id, 32 hex digits; in every log line and error answer of the call. */
  readonly traceId: string;
  /** The host that spoke, taken from the subject, which the NATS server enforces. Only in reports and heartbeats. */
  readonly hostId?: string;
}

/** Context of a host's report or heartbeat. */
export type ReportContext = BusContext & { readonly hostId: string };

/** Turns the token of `Tok-Actor` into the actor, or into UNAUTHENTICATED / TOKEN_EXPIRED. */
export interface ActorVerifier {
  verify(token: string): Promise<Result<Actor>>;
}

/** The part of a pino logger that the bus writes to. */
export interface BusLog {
  debug(fields: object, text: string): void;
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
}

export const silentLog: BusLog = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
