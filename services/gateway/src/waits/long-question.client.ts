// Asks a question that waits for something (`waitMs`) piece by piece. Nobody says that the answerer has died: whoever waits for him
// in one piece waits to the end, and is told of a time that has run out. A piece is short, and lost when its answer does not come.
import type { BusClient, CallOptions } from '#bus';
import { DeadlineExceeded } from '#contracts';
import type { Operation } from '#contracts';
import { systemClock } from '#kernel';
import type { Clock, Result } from '#kernel';

export interface Pieces {
  readonly waitMs: number;
  /** How much later than its wait the answer to a piece may come. */
  readonly graceMs: number;
}

export const pieces: Pieces = { waitMs: 5_000, graceMs: 2_000 };
/** A question that waits for nothing is answered as soon as any other. */
const plainMs = 10_000;

/** Answers as `request` does, at the latest when what the caller waits for and a plain question would take has passed. */
export async function askPatiently(bus: Pick<BusClient, 'request'>, operation: Operation, input: object, options: CallOptions, { waitMs, graceMs }: Pieces = pieces, clock: Clock = systemClock): Promise<Result<unknown>> {
  const parsed = operation.news === undefined ? undefined : operation.input.safeParse(input);
  if (parsed?.success !== true) return bus.request(operation, input, options);
  const wished: unknown = (parsed.data as { waitMs?: unknown }).waitMs;
  const end = clock.monotonic() + (typeof wished === 'number' ? wished : 0);
  for (let leftMs = end - clock.monotonic(); leftMs > 0; leftMs = end - clock.monotonic()) {
    const piece = Math.ceil(Math.min(waitMs, leftMs));
    const answer = await bus.request(operation, { ...input, waitMs: piece }, { ...options, timeoutMs: piece + graceMs });
    if (answer.ok ? operation.news?.(parsed.data, answer.value) === true || piece >= leftMs : answer.fault.code !== DeadlineExceeded.code || isOver(options)) return answer;
  }
  return bus.request(operation, { ...input, waitMs: 0 }, { ...options, timeoutMs: plainMs });
}

const isOver = ({ signal, ctx }: CallOptions): boolean => (signal ?? ctx?.signal)?.aborted === true;
