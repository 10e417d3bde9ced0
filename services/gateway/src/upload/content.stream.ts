// Carries the bytes of an image from a client's request to storage, one piece after the other, since a host takes no piece
// that would leave a hole: memory stays bounded however large the image is, and a slow storage slows the client down.
// Writing a piece again changes nothing, so a piece whose answer was lost is sent again.
import type { IncomingMessage } from 'node:http';
import type { BusClient, BusContext } from '#bus';
import { allErrors, InvalidArgument, RequestTooSlow, writeUpload } from '#contracts';
import type { UploadId } from '#contracts';
import type { Result } from '#kernel';
import { failed, FaultError, ok, sleep } from '#kernel';
import { Pieces } from './pieces.ts';
import type { Piece } from './pieces.ts';

export interface UploadLimits {
  /** Longest silence of the client, ms. */
  readonly idleMs: number;
  /** Tries per piece. */
  readonly tries: number;
}

export interface Content {
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** The client ended the connection before all bytes were here; there is nobody to answer. */
export class UploadBrokenOff extends Error {}

export async function carry(request: IncomingMessage, uploadId: UploadId, bus: BusClient, ctx: BusContext, limits: UploadLimits): Promise<Result<Content>> {
  const pieces = new Pieces();
  try {
    for await (const chunk of chunksOf(request, limits.idleMs)) {
      for (const piece of pieces.add(chunk)) await write(piece, uploadId, bus, ctx, limits.tries);
    }
    const { last, ...content } = pieces.end();
    if (content.sizeBytes === 0) return InvalidArgument.fail('The body is empty: send the bytes of the image.', { issues: [{ path: 'body', message: 'is empty' }] });
    if (last) await write(last, uploadId, bus, ctx, limits.tries);
    return ok(content);
  } catch (error) {
    if (error instanceof FaultError) return failed(error.fault);
    throw error;
  }
}

/** The chunks of a body. Throws REQUEST_TOO_SLOW when the client is silent for too long (time that we make him wait is not counted), UploadBrokenOff when he goes away. */
async function* chunksOf(request: IncomingMessage, idleMs: number): AsyncGenerator<Buffer> {
  // Not destroyed when we stop reading: the connection still has to carry the refusal.
  const chunks = request.iterator({ destroyOnReturn: false }) as AsyncIterableIterator<Buffer>;
  for (;;) {
    const silence = Promise.withResolvers<'silent'>();
    const timer = setTimeout(() => { silence.resolve('silent'); }, idleMs);
    try {
      const next = await Promise.race([chunks.next().catch(brokenOff), silence.promise]);
      if (next === 'silent') throw new FaultError(RequestTooSlow.fault(`Nothing arrived for ${idleMs} ms.`));
      if (next.done) return;
      yield next.value;
    } finally {
      clearTimeout(timer);
    }
  }
}

const brokenOff = (cause: unknown): never => { throw new UploadBrokenOff('the client went away in the middle of an upload', { cause }); };

async function write(piece: Piece, uploadId: UploadId, bus: BusClient, ctx: BusContext, tries: number): Promise<void> {
  const input = { uploadId, offset: piece.offset, data: piece.data.toString('base64') };
  for (let left = tries - 1, pauseMs = 100; ; left -= 1, pauseMs *= 2) {
    const answer = await bus.request(writeUpload, input, { ctx, as: 'system', timeoutMs: writeUpload.timeoutMs });
    if (answer.ok) return;
    if (left <= 0 || allErrors.get(answer.fault.code)?.retry !== 'same') throw new FaultError(answer.fault);
    await sleep(pauseMs, ctx.signal);
  }
}
