// Reads a JSON body from the wire: bounded in bytes and in time, so that neither a flood nor a trickle holds the door.
import type { IncomingMessage } from 'node:http';
import { parseBody } from '#bus';
import { PayloadTooLarge, RequestTooSlow } from '#contracts';
import { FaultError, orThrow } from '#kernel';

export interface BodyLimits {
  readonly bytes: number;
  /** From the first to the last byte, ms. */
  readonly timeMs: number;
}

/** So long a client may go on to send what was refused. */
const LINGER_MS = 2_000;

/**
 * Passes over what is still to come of a body that is of no use: a client that writes all before it reads finds its answer then,
 * where a connection that is closed on it would be all that it sees. One that takes too long for it loses the connection.
 */
export function readOut(request: IncomingMessage): void {
  if (request.complete) return;
  const timer = setTimeout(() => { request.socket.destroy(); }, LINGER_MS);
  for (const end of ['end', 'close']) request.once(end, () => { clearTimeout(timer); });
  request.resume();
}

/** The parsed body. Rejects with a FaultError (PAYLOAD_TOO_LARGE, REQUEST_TOO_SLOW, BAD_JSON) or when the client goes away. */
export function readJson(request: IncomingMessage, limits: BodyLimits): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const end = (finish: () => void): void => {
      clearTimeout(timer);
      request.off('data', onData).off('end', onEnd).off('error', onError).off('aborted', onAborted);
      finish();
    };
    const refuse = (error: Error): void => { end(() => { reject(error); }); };
    const timer = setTimeout(() => { refuse(new FaultError(RequestTooSlow.fault(`The body did not arrive within ${limits.timeMs} ms.`))); }, limits.timeMs);
    const tooLarge = (): void => { refuse(new FaultError(PayloadTooLarge.fault(`The body is larger than ${limits.bytes} bytes.`, { limitBytes: limits.bytes }))); };
    const onData = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes > limits.bytes) { tooLarge(); return; }
      chunks.push(chunk);
    };
    const onEnd = (): void => {
      end(() => {
        try {
          resolve(orThrow(parseBody(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks), limits.bytes)));
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      });
    };
    const onError = (error: Error): void => { refuse(error); };
    const onAborted = (): void => { refuse(new Error('the client went away')); };
    if (Number(request.headers['content-length'] ?? 0) > limits.bytes) { tooLarge(); return; }
    request.on('data', onData).on('end', onEnd).on('error', onError).on('aborted', onAborted);
  });
}
