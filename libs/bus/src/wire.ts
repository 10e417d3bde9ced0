// Bodies on the bus: plain JSON in, plain JSON out, and how a refusal is written down.
import type { ErrorBody, ErrorDef } from '#contracts';
import { BadJson, httpStatusOf, Internal, InvalidArgument, PayloadTooLarge } from '#contracts';
import type { Fault, Result } from '#kernel';
import { ok } from '#kernel';
import type { z } from 'zod';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** Deeper nesting than any contract has; walkers of a parsed value recurse, so it is refused before parsing. */
const DEEPEST = 64;

/** The value of a JSON body. An empty body stands for `{}`, so that `nats req <subject> ''` works for operations without input. */
export function parseBody(bytes: Uint8Array, limitBytes: number): Result<unknown> {
  if (bytes.length > limitBytes) return PayloadTooLarge.fail(`The body has ${bytes.length} bytes, at most ${limitBytes} are taken.`, { limitBytes });
  if (bytes.length === 0) return ok({});
  if (isTooDeep(bytes)) return BadJson.fail(`The body nests deeper than ${DEEPEST} levels.`);
  try {
    return ok(JSON.parse(utf8.decode(bytes)));
  } catch (error) {
    return BadJson.fail('The body is not JSON in UTF-8.', undefined, error);
  }
}

function isTooDeep(bytes: Uint8Array): boolean {
  if (bytes.length <= DEEPEST) return false;
  let depth = 0;
  let inString = false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === 0x5c && inString) at++;
    else if (byte === 0x22) inString = !inString;
    else if (inString) continue;
    else if (byte === 0x7b || byte === 0x5b) {
      if (++depth > DEEPEST) return true;
    } else if (byte === 0x7d || byte === 0x5d) depth--;
  }
  return false;
}

/** The value as `schema` gives it, or INVALID_ARGUMENT with the path of every issue. */
export function parseWith<S extends z.ZodType>(schema: S, value: unknown, what = 'The request'): Result<z.output<S>> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return ok(parsed.data);
  const issues = parsed.error.issues.flatMap(fieldIssues).slice(0, 50);
  const first = issues[0];
  return InvalidArgument.fail(`${what} does not fit its schema${first ? `: ${first.path ? `${first.path}: ` : ''}${first.message}` : ''}.`, { issues });
}

/** Every issue names its field, also a field that nobody knows. */
function fieldIssues(issue: z.core.$ZodIssue): { path: string; message: string }[] {
  const at = (...more: readonly string[]): string => [...issue.path.map(String), ...more].join('.');
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => ({ path: at(key.slice(0, 100)), message: 'unknown' }));
  return [{ path: at(), message: issue.message }];
}

export const errorBody = (fault: Fault, traceId?: string): ErrorBody => ({
  code: fault.code,
  detail: fault.detail,
  ...(fault.details === undefined ? {} : { details: { ...fault.details } }),
  ...(traceId === undefined ? {} : { traceId }),
});

/** The HTTP number and the code of a fault, for the headers of the NATS service convention. */
export const errorNumber = (code: string): string => String(httpStatusOf(code));

/** What a caller is told about a bug: nothing but that there is one. The cause goes to the log under the trace id. */
export const bug = (cause: unknown): Fault => Internal.fault('Something went wrong inside; the log has the cause under this trace id.', undefined, cause);

export function isResult(value: unknown): value is Result<unknown> {
  if (typeof value !== 'object' || value === null || Object.keys(value).length !== 2 || !('ok' in value)) return false;
  return (value.ok === true && 'value' in value) || (value.ok === false && 'fault' in value);
}

/** The fault that an error answer carries, read without trust. */
export function faultOf(body: unknown, fallback: ErrorDef): Fault {
  const { code, detail, details } = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
  if (typeof code !== 'string' || typeof detail !== 'string') return fallback.fault('The answer cannot be read.', undefined, body);
  return { code, detail, ...(typeof details === 'object' && details !== null ? { details: details as Record<string, unknown> } : {}) };
}
