// Which failures pass by themselves, how long to wait before the next try, and how a thrown fault becomes a value.
import { allErrors, Busy, CommandRunning, HostUnreachable, Internal, RateLimited, Unavailable, VmBusy } from '#contracts';
import type { ErrorBody, ErrorKind } from '#contracts';
import { outageOf } from '#database';
import type { Fault, Result } from '#kernel';
import { FaultError, failed, ok } from '#kernel';

const passingKinds: ReadonlySet<ErrorKind> = new Set<ErrorKind>(['unavailable', 'deadline_exceeded']);
/** Of other kinds, but the same request may be accepted later without anybody changing anything. */
const passingCodes: ReadonlySet<string> = new Set([HostUnreachable.code, Busy.code, VmBusy.code, RateLimited.code]);

export function passesByItself(fault: Fault): boolean {
  const def = allErrors.get(fault.code);
  if (def === undefined || def.retry !== 'same') return false;
  return passingKinds.has(def.kind) || passingCodes.has(def.code);
}

/** The receiver is at work: no reason to lose patience. */
export const isAtWork = (fault: Fault): boolean => fault.code === CommandRunning.code;

/** Pause before try number `tries` + 1: 100 ms doubling to 5 s; while the receiver is at work not more than 1 s. */
export const pauseMs = (tries: number, fault?: Fault): number =>
  Math.min(100 * 2 ** Math.min(tries, 10), fault !== undefined && isAtWork(fault) ? 1_000 : 5_000);

export const bugFault = (error: unknown): Fault => Internal.fault('The task met an error that nobody expected; the log has it.', undefined, error);

/** What an error of a service's database means to whoever asks the service; undefined where it is none that passes by itself. */
export function outageFault(service: string, error: unknown): Fault | undefined {
  const outage = outageOf(error);
  return outage === undefined ? undefined : Unavailable.fault(`The database of ${service} ${outage === 'full' ? 'has no room left' : 'does not answer'}.`, { service }, error);
}

/** The form that goes into rows, events and answers: without the cause. */
export const wireFault = (fault: Fault, traceId: string | null): ErrorBody => ({
  code: fault.code,
  detail: fault.detail,
  ...(fault.details === undefined ? {} : { details: { ...fault.details } }),
  ...(traceId === null ? {} : { traceId }),
});

export const faultOfWire = (body: ErrorBody): Fault => ({ code: body.code, detail: body.detail, ...(body.details === undefined ? {} : { details: body.details }) });

/** A fault thrown inside as a value, for a step that can live with some of them (NOT_FOUND in an undo). */
export async function asResult<T>(work: Promise<T>): Promise<Result<T>> {
  try {
    return ok(await work);
  } catch (error) {
    if (error instanceof FaultError) return failed(error.fault);
    throw error;
  }
}
