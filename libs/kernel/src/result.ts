// Expected failures as values. The core returns a Result; thrown means bug.

/** A failure the caller was meant to expect. `code` is one of the registry in `libs/contracts/src/errors.ts`. */
export interface Fault {
  readonly code: string;
  /** One sentence for the client: what is wrong and, where known, what to do. */
  readonly detail: string;
  readonly details?: Readonly<Record<string, unknown>>;
  /** For the log only; never leaves the process. */
  readonly cause?: unknown;
}

export type Ok<T> = { readonly ok: true; readonly value: T };
export type Failed = { readonly ok: false; readonly fault: Fault };
export type Result<T> = Ok<T> | Failed;

export const ok = <T>(value: T): Ok<T> => ({ ok: true, value });
export const failed = (fault: Fault): Failed => ({ ok: false, fault });

/** Carries a Fault through code that can only throw (a database transaction, a Nest handler). Doors answer its fault. */
export class FaultError extends Error {
  readonly fault: Fault;

  constructor(fault: Fault) {
    super(`${fault.code}: ${fault.detail}`, fault.cause === undefined ? undefined : { cause: fault.cause });
    this.name = 'FaultError';
    this.fault = fault;
  }
}

/** The value, or a FaultError thrown. For edges: inside the core pass the Result on. */
export function orThrow<T>(result: Result<T>): T {
  if (!result.ok) throw new FaultError(result.fault);
  return result.value;
}
