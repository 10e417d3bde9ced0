// Carries the bytes of an image from a client's request to storage, a few pieces at a time: memory stays bounded however
// large the image is, and a slow storage slows the client down. Writing a piece again changes nothing, so a piece whose
// answer was lost is sent again.
import type { IncomingMessage } from 'node:http';
import type { BusClient, BusContext } from '#bus';
import { allErrors, InvalidArgument, RequestTooSlow, writeUpload } from '#contracts';
import type { UploadId } from '#contracts';
import type { Result } from '#kernel';
import { failed, FaultError, ok, sleep } from '#kernel';
import { Pieces } from './pieces.ts';
import type { Piece } from './pieces.ts';

export interface UploadLimits {
  /** Pieces on their way at the same time. */
  readonly parallel: number;
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
  const writer = new Writer((piece) => write(piece, uploadId, bus, ctx, limits.tries), limits.parallel);
  try {
    for await (const chunk of chunksOf(request, limits.idleMs)) {
      for (const piece of pieces.add(chunk)) await writer.offer(piece);
    }
    const { last, ...content } = pieces.end();
    if (content.sizeBytes === 0) return InvalidArgument.fail('The body is empty: send the bytes of the image.', { issues: [{ path: 'body', message: 'is empty' }] });
    if (last) await writer.offer(last);
    await writer.finish();
    return ok(content);
  } catch (error) {
    await writer.idle();
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

/** Bounded parallel work; the first failure stops it. */
class Writer {
  private readonly running = new Set<Promise<void>>();
  private failure: unknown;

  constructor(private readonly work: (piece: Piece) => Promise<void>, private readonly limit: number) {}

  /** Resolves when there is room for the next one. Throws what an earlier piece failed with. */
  async offer(piece: Piece): Promise<void> {
    this.check();
    const job: Promise<void> = this.work(piece).catch((error: unknown) => { this.failure ??= error; }).finally(() => { this.running.delete(job); });
    this.running.add(job);
    while (this.running.size >= this.limit) await Promise.race(this.running);
    this.check();
  }

  async finish(): Promise<void> {
    await this.idle();
    this.check();
  }

  async idle(): Promise<void> {
    await Promise.all(this.running);
  }

  private check(): void {
    if (this.failure !== undefined) throw this.failure;
  }
}
