// Failures that no handler answered: Fastify's own refusals and bytes that are no HTTP, in terms of the registry.
import type { Socket } from 'node:net';
import type { FastifyError } from 'fastify';
import { HeadersTooLarge, Internal, InvalidArgument, PayloadTooLarge, RequestTooSlow, UnsupportedMediaType } from '#contracts';
import type { Fault } from '#kernel';
import { FaultError } from '#kernel';
import { problemOf, problemType } from './problem.ts';

/** What Fastify itself refuses, in our terms. */
const frameworkFaults: Readonly<Record<string, (limitBytes: number) => Fault>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () => UnsupportedMediaType.fault('The body must be application/json.', { accepted: ['application/json'] }),
  FST_ERR_CTP_BODY_TOO_LARGE: (limitBytes) => PayloadTooLarge.fault(`The body is larger than ${limitBytes} bytes.`, { limitBytes }),
  FST_ERR_BAD_URL: () => InvalidArgument.fault('The path is not percent-encoded UTF-8.', { issues: [{ path: 'path', message: 'is not percent-encoded UTF-8' }] }),
  FST_ERR_MAX_PARAM_LENGTH: () => InvalidArgument.fault('A part of the path is too long.', { issues: [{ path: 'path', message: 'a part is too long' }] }),
};

/** The fault of anything thrown on the way; what nobody expected is a bug, told without its cause. */
export function faultOfError(error: unknown, limitBytes: number): Fault {
  if (error instanceof FaultError) return error.fault;
  const { code, statusCode } = (typeof error === 'object' && error !== null ? error : {}) as Partial<FastifyError>;
  const known = frameworkFaults[code ?? ''];
  if (known) return known(limitBytes);
  if (typeof code === 'string' && code.startsWith('FST_') && typeof statusCode === 'number' && statusCode < 500) return InvalidArgument.fault('The request is malformed.', { issues: [{ path: '', message: 'malformed' }] }, error);
  return Internal.fault('Something went wrong inside; the log has the cause under this trace id.', undefined, error);
}

/** For bytes that never became a request: the parser of HTTP refused them. */
export function answerNoHttp(code: string | undefined, socket: Socket): void {
  if (!socket.writable || code === 'ECONNRESET') return void socket.destroy();
  const fault = code === 'HPE_HEADER_OVERFLOW' ? HeadersTooLarge.fault('The headers are too large.')
    : code === 'ERR_HTTP_REQUEST_TIMEOUT' ? RequestTooSlow.fault('The request did not arrive in time.')
    : InvalidArgument.fault('This is not an HTTP request.', { issues: [{ path: '', message: 'not HTTP' }] });
  const problem = problemOf(fault);
  const body = JSON.stringify(problem);
  socket.end(`HTTP/1.1 ${problem.status} Refused\r\ncontent-type: ${problemType}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`);
}
