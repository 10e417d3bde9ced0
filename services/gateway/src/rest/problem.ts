// How a refusal looks over HTTP: RFC 9457 with our stable code, and the headers that go with it.
import { allErrors, httpStatusOf, Internal } from '#contracts';
import type { Fault } from '#kernel';

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly traceId?: string;
  readonly instance?: string;
}

export const problemType = 'application/problem+json; charset=utf-8';

/** `instance` is the path that was asked, without its query, which may carry what should not be repeated. */
export function problemOf(fault: Fault, where: { readonly traceId?: string; readonly url?: string } = {}): Problem {
  const def = allErrors.get(fault.code) ?? Internal;
  return {
    type: `urn:tokamak:error:${def.code.toLowerCase().replaceAll('_', '-')}`,
    title: def.title,
    status: httpStatusOf(def.code),
    detail: fault.detail,
    code: def.code,
    ...(fault.details === undefined ? {} : { details: fault.details }),
    ...(where.traceId === undefined ? {} : { traceId: where.traceId }),
    ...(where.url === undefined ? {} : { instance: where.url.split('?', 1)[0]!.slice(0, 500) }),
  };
}

/** `Retry-After` (whole seconds), `WWW-Authenticate`, `Allow`, where the status asks for them. */
export function headersOf(fault: Fault): Record<string, string> {
  const status = httpStatusOf(fault.code);
  const { retryAfterMs, allowed } = fault.details ?? {};
  return {
    ...(typeof retryAfterMs === 'number' ? { 'retry-after': String(Math.max(1, Math.ceil(retryAfterMs / 1000))) } : status === 503 ? { 'retry-after': '1' } : {}),
    ...(status === 401 ? { 'www-authenticate': 'Bearer realm="tokamak"' } : {}),
    ...(status === 405 && Array.isArray(allowed) ? { allow: allowed.join(', ') } : {}),
  };
}
