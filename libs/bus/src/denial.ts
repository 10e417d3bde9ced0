// Refusals for want of credentials, rights or patience, and whose they are to record: whoever refused records it, and whoever
// passes the refusal on must not do so again.
import { httpStatusOf } from '#contracts';
import type { Door } from '#contracts';
import type { Fault } from '#kernel';
import type { Caller } from './access.ts';

const denials: ReadonlySet<number> = new Set([401, 403, 429]);
export const isDenial = (fault: Fault): boolean => denials.has(httpStatusOf(fault.code));

/** Faults that somebody has recorded: the service that answered them, or the handler itself. */
const recorded = new WeakSet<Fault>();

export function noteRecorded(fault: Fault): Fault {
  recorded.add(fault);
  return fault;
}
export const isRecorded = (fault: Fault): boolean => recorded.has(fault);

/** A refusal that this process is to record. */
export interface Denied {
  /** Contract name of what was asked. */
  readonly operation: string;
  readonly fault: Fault;
  /** Whom the refused request spoke for, as far as that was found out. */
  readonly caller: Pick<Caller, 'actor' | 'caller'>;
  /** Whatever was asked; undefined where it cannot be read. */
  readonly input: unknown;
  /** Where it was asked. */
  readonly subject?: string;
  readonly door: Door;
  readonly traceId: string | null;
  readonly idempotencyKey: string | null;
}
