// What a script learns from the exit status, and which status a refusal gets. The table is what `tokctl help exit-codes` shows.
import { allErrors } from '#contracts';
import type { ErrorKind } from '#contracts';

export const exit = { ok: 0, refused: 1, usage: 2, notSignedIn: 3, notFound: 4, conflict: 5, unavailable: 6, interrupted: 130 } as const;
export type ExitCode = (typeof exit)[keyof typeof exit];

export const exitMeanings: readonly { readonly code: ExitCode; readonly meaning: string }[] = [
  { code: exit.ok, meaning: 'done' },
  { code: exit.refused, meaning: 'refused, or the task that was waited for failed, was cancelled or needs attention' },
  { code: exit.usage, meaning: 'the command line or a value in it is wrong' },
  { code: exit.notSignedIn, meaning: 'not signed in, or the session has ended' },
  { code: exit.notFound, meaning: 'there is no such object' },
  { code: exit.conflict, meaning: 'the state of things does not allow it now: busy, in use, name taken, changed by somebody else' },
  { code: exit.unavailable, meaning: 'no answer, not in time, or too many requests: the same command may succeed later' },
  { code: exit.interrupted, meaning: 'interrupted at the keyboard; a task that was waited for goes on' },
];

const byKind: Readonly<Record<ErrorKind, ExitCode>> = {
  invalid_argument: exit.usage,
  unauthenticated: exit.notSignedIn,
  permission_denied: exit.refused,
  not_found: exit.notFound,
  method_not_allowed: exit.refused,
  request_timeout: exit.unavailable,
  already_exists: exit.conflict,
  failed_precondition: exit.conflict,
  gone: exit.notFound,
  aborted: exit.conflict,
  content_too_large: exit.usage,
  unsupported_media_type: exit.refused,
  unprocessable: exit.refused,
  resource_exhausted: exit.unavailable,
  headers_too_large: exit.usage,
  internal: exit.refused,
  unavailable: exit.unavailable,
  deadline_exceeded: exit.unavailable,
  insufficient_capacity: exit.refused,
};

/** Codes that this client does not know come from a newer server; their HTTP status still says enough. */
const byStatus: Readonly<Record<number, ExitCode>> = { 400: exit.usage, 401: exit.notSignedIn, 404: exit.notFound, 409: exit.conflict, 412: exit.conflict, 429: exit.unavailable, 502: exit.unavailable, 503: exit.unavailable, 504: exit.unavailable };

export function exitCodeOf(code: string | undefined, status: number): ExitCode {
  const known = code === undefined ? undefined : allErrors.get(code);
  return known ? byKind[known.kind] : (byStatus[status] ?? exit.refused);
}
