// Questions to the database of Open vSwitch over its unix socket (RFC 7047): a transaction that only reads costs a fraction of a
// millisecond there, where `ovs-vsctl` costs a process. What changes something goes through `ovs-vsctl`, which waits for the switch.
import { connect } from 'node:net';
import { z } from 'zod';
import type { Result } from '#kernel';
import { ok } from '#kernel';
import { HostCommandFailed } from '#contracts';

const DATABASE = 'Open_vSwitch';
const Answer = z.object({ id: z.literal(1), error: z.null(), result: z.array(z.object({ rows: z.array(z.unknown()) })) });

export interface Select { readonly table: string; readonly columns: readonly string[] }

const failed = (reason: string, cause?: unknown): Result<never> => HostCommandFailed.fail(`The database of Open vSwitch cannot be read: ${reason}`, { reason }, cause);

/** The rows of each table, all from one moment; HOST_COMMAND_FAILED where it does not answer in time or otherwise than expected. */
export async function selectAll(socketPath: string, tables: readonly Select[], limitMs: number): Promise<Result<unknown[][]>> {
  const asked = { id: 1, method: 'transact', params: [DATABASE, ...tables.map(({ table, columns }) => ({ op: 'select', table, where: [], columns }))] };
  try {
    const read = Answer.safeParse(await exchange(socketPath, JSON.stringify(asked), limitMs));
    if (!read.success || read.data.result.length !== tables.length) return failed('it answered in an unknown form', read.error);
    return ok(read.data.result.map(({ rows }) => rows));
  } catch (error) {
    return failed(error instanceof Error ? error.message : String(error), error);
  }
}

/** One request, one answer, and the connection is closed. An answer is one object, however many pieces it comes in. */
function exchange(socketPath: string, request: string, limitMs: number): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const socket = connect(socketPath);
  const timer = setTimeout(() => { reject(new Error(`there was no answer within ${limitMs} ms`)); }, limitMs);
  let text = '';
  socket.setEncoding('utf8');
  socket.on('error', reject);
  socket.on('close', () => { reject(new Error('the connection ended before an answer')); });
  socket.on('data', (piece: string) => {
    text += piece;
    const answer = piece.endsWith('}') ? parsed(text) : undefined;
    if (answer !== undefined) resolve(answer);
  });
  socket.write(request);
  return promise.finally(() => {
    clearTimeout(timer);
    socket.destroy();
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // a piece ended in a brace within
  }
}
