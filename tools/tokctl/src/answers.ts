// Reads what came back: a value, or a problem that may also stem from a proxy in between.
import { exit } from './exit-codes.ts';
import { Failure } from './failures.ts';
import type { Problem } from './failures.ts';
import type { Answer } from './http.client.ts';

export function problemOf({ status, text }: Answer): Problem {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  } catch {
    // Not JSON, so not from the platform: the status is all there is.
  }
  return { detail: `the answer has status ${status} and does not come from this platform` };
}

export function valueOf({ status, text }: Answer): unknown {
  if (text === '') return {};
  try {
    return JSON.parse(text);
  } catch {
    throw new Failure(exit.refused, `The answer (status ${status}) is not JSON: is this the address of the platform?`);
  }
}
