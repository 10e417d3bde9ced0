// One delivery over HTTP: to an address that was checked after the name was resolved and is the one that is connected to, without
// following redirects, bounded in time and in what is read of the answer.
import { lookup as resolve } from 'node:dns';
import { Agent, request as plainRequest } from 'node:http';
import { Agent as SecureAgent, request as secureRequest } from 'node:https';
import type { BlockList } from 'node:net';
import { AddressRefused, ReceiverFailed } from '#contracts';
import { ok } from '#kernel';
import type { Fault, Result } from '#kernel';
import { version } from '#config';
import { addressIn, isReachable } from './address.ts';

export interface Posted { readonly status: number; readonly tookMs: number }
export interface Post { readonly url: string; readonly headers: Readonly<Record<string, string>>; readonly body: string; readonly signal: AbortSignal }

export const POST_MS = 10_000;
const mostRead = 64 * 1024;
const agents = { 'http:': new Agent({ keepAlive: true, maxFreeSockets: 32 }), 'https:': new SecureAgent({ keepAlive: true, maxFreeSockets: 32 }) } as const;

type Found = (error: NodeJS.ErrnoException | null, address: string | { address: string; family: number }[], family?: number) => void;
const refusal = (address: string): Fault => AddressRefused.fault(`Webhooks do not reach ${address}: it is not public, and no network of TOK_WEBHOOK_ALLOW holds it.`, { reason: address });

class Refused extends Error {
  constructor(readonly fault: Fault) {
    super(fault.detail);
  }
}

export class WebhookPost {
  constructor(private readonly allowed: BlockList, private readonly withinMs = POST_MS) {}

  /** Why nothing would be sent there; a name that cannot be resolved now is for the delivery to find out. */
  async refusalOf(url: string): Promise<Fault | undefined> {
    const address = addressIn(new URL(url));
    if (address !== undefined) return isReachable(address, this.allowed) ? undefined : refusal(address);
    return new Promise((done) => {
      this.lookup(new URL(url).hostname, { all: true }, (error) => { done(error instanceof Refused ? error.fault : undefined); });
    });
  }

  /** The answer's status when it is 2xx; ADDRESS_REFUSED or RECEIVER_FAILED else. The receiver may have taken it all the same. */
  async send({ url, headers, body, signal }: Post): Promise<Result<Posted>> {
    const startedAt = performance.now();
    const target = new URL(url);
    const address = addressIn(target);
    if (address !== undefined && !isReachable(address, this.allowed)) return { ok: false, fault: refusal(address) };
    const late = AbortSignal.timeout(this.withinMs);
    try {
      const status = await this.exchange(target, headers, body, AbortSignal.any([signal, late]));
      const tookMs = Math.round(performance.now() - startedAt);
      if (status >= 200 && status < 300) return ok({ status, tookMs });
      const reason = status >= 300 && status < 400 ? 'redirects are not followed' : 'the status is no 2xx';
      return ReceiverFailed.fail(`The receiver answered ${status}: ${reason}.`, { status, reason });
    } catch (error) {
      if (error instanceof Refused) return { ok: false, fault: error.fault };
      const reason = late.aborted ? `not within ${this.withinMs / 1000} s` : reasonOf(error);
      return ReceiverFailed.fail(`The receiver did not answer: ${reason}.`, { reason }, error);
    }
  }

  private exchange(target: URL, headers: Post['headers'], body: string, signal: AbortSignal): Promise<number> {
    const secure = target.protocol === 'https:';
    return new Promise((done, fail) => {
      const sending = (secure ? secureRequest : plainRequest)(target, {
        method: 'POST', agent: agents[secure ? 'https:' : 'http:'], signal, lookup: (host, options, found) => { this.lookup(host, options, found); },
        headers: { 'content-type': 'application/json', 'user-agent': `Tokamak-Webhook/${version}`, 'content-length': Buffer.byteLength(body), ...headers },
      }, (response) => {
        // What it says beside its status is of no interest, but the connection is used again when it is short.
        let read = 0;
        response.on('data', (part: Buffer) => {
          read += part.length;
          if (read > mostRead) response.destroy();
        }).on('error', () => { response.destroy(); });
        done(response.statusCode ?? 0);
      });
      sending.on('error', fail).end(body);
    });
  }

  /** Whatever connects, connects to what was checked here: a name that resolves to something else a moment later changes nothing. */
  private lookup(host: string, options: { all?: boolean | undefined; family?: number | string | undefined }, found: Found): void {
    resolve(host, { all: true }, (error, addresses) => {
      if (error) { found(error, []); return; }
      const outside = addresses.find(({ address }) => !isReachable(address, this.allowed));
      if (outside !== undefined) { found(new Refused(refusal(outside.address)), []); return; }
      const [first] = addresses;
      if (options.all === true || first === undefined) found(null, addresses);
      else found(null, first.address, first.family);
    });
  }
}

function reasonOf(error: unknown): string {
  const { code, message } = error as { code?: string; message?: string };
  return (code ?? message ?? 'unknown').slice(0, 200);
}
