// One HTTP exchange with the door. A request that changes something carries an idempotency key, so that it can be sent
// once more when the connection was lost and still have one effect.
import { request as plainRequest } from 'node:http';
import { request as secureRequest } from 'node:https';
import type { Readable } from 'node:stream';
import { Failure } from './failures.ts';
import { exit } from './exit-codes.ts';

export interface Exchange {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** A body that is too large to hold: made anew for each try. */
  readonly content?: { readonly bytes: number; open(): Readable };
  /** Longest silence, ms. */
  readonly timeoutMs?: number;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly text: string;
}

export type Send = (exchange: Exchange) => Promise<Answer>;

/** Far above any answer of the door: what is larger comes from somebody else. */
const answerLimit = 64 * 1024 * 1024;

const lost: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'ECONNABORTED', 'ECONNREFUSED', 'ETIMEDOUT']);

/** No answer came back; whether the request had an effect is unknown. */
export class ConnectionLost extends Failure {
  /** The request may be sent again at once. */
  readonly repeatable: boolean;

  constructor(url: string, code: string | undefined, message: string) {
    super(exit.unavailable, `${url} does not answer: ${code ?? message}`, 'Is the address right, and does the gateway run? tokctl profile show tells which address is used.');
    this.repeatable = lost.has(code ?? '');
  }
}

/** Sends to `base`, and once more when the connection broke. Rejects with ConnectionLost. */
export function sender(base: string): Send {
  return async (exchange) => {
    try {
      return await once(base, exchange);
    } catch (error) {
      if (!(error instanceof ConnectionLost) || !error.repeatable) throw error;
      return once(base, exchange);
    }
  };
}

function once(base: string, { method, path, headers = {}, body, content, timeoutMs = 60_000 }: Exchange): Promise<Answer> {
  const url = new URL(path, base);
  const length = content?.bytes ?? (body === undefined ? undefined : Buffer.byteLength(body));
  return new Promise((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException): void => { reject(new ConnectionLost(base, error.code, error.message)); };
    const sending = (url.protocol === 'https:' ? secureRequest : plainRequest)(url, {
      method, agent: false,
      headers: { accept: 'application/json', ...(length === undefined ? {} : { 'content-length': length }), ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    }, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > answerLimit) response.destroy(new Error('the answer is too large'));
        else chunks.push(chunk);
      }).on('end', () => { resolve({ status: response.statusCode ?? 0, headers: response.headers, text: Buffer.concat(chunks).toString('utf8') }); }).on('error', fail);
    });
    sending.setTimeout(timeoutMs, () => { sending.destroy(Object.assign(new Error(`nothing came back for ${timeoutMs / 1000} s`), { code: 'no answer in time' })); });
    sending.on('error', fail);
    if (!content) return void sending.end(body);
    const source = content.open();
    source.on('error', (error) => { sending.destroy(error); });
    // A refusal may come before the last byte: then the rest is not wanted, and the answer says why.
    sending.on('response', () => { source.unpipe(sending); source.destroy(); sending.end(); });
    source.pipe(sending);
  });
}
