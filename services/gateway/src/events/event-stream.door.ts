// `GET /v1/events` as a stream: first what the client has missed, then what comes. Nothing is kept here: the client says
// how far it is, and the log is read with its rights as they are at that moment, so that a right that is lost closes it.
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { BusClient } from '#bus';
import { listEvents, RateLimited, ShuttingDown } from '#contracts';
import type { Fault, Result } from '#kernel';
import { failed, ok, sleep } from '#kernel';
import { admit, identifyCaller } from '../rest/admission.ts';
import type { Gates } from '../rest/admission.ts';
import type { Call } from '../rest/call.ts';
import type { EventFeed } from './event-feed.client.ts';
import { aliveText, beginAfter, endText, eventText, resetText, retryText } from './event-stream.ts';

export interface StreamOptions {
  readonly bus: BusClient;
  readonly feed: EventFeed;
  readonly gates: Gates;
  /** Aborts when the door closes. */
  readonly leaving: AbortSignal;
}

export interface StreamWish { readonly name?: string; readonly objectId?: string; readonly after?: unknown }

const page = 200;
const aliveMs = 10_000;
const outageMs = 1_000;
const retryMs = 1_000;
/** A client that does not read for so long is let go; it can come back and goes on where it was. */
const slowMs = 30_000;
const mostPerUser = 20;

export class EventStreams {
  private readonly open = new Map<string, number>();

  constructor(private readonly options: StreamOptions) {}

  /** Takes the connection over until either side ends it. A fault = refused, nothing was written. */
  async serve(request: FastifyRequest, reply: FastifyReply, call: Call, wish: StreamWish, headers: Readonly<Record<string, string>>): Promise<Fault | undefined> {
    const user = call.caller?.actor.userId ?? '';
    const mine = this.open.get(user) ?? 0;
    if (mine >= mostPerUser) return RateLimited.fault(`You have ${mine} streams of events open already.`, { retryAfterMs: 10_000 });
    const begin = await this.beginning(request, call, wish);
    if (!begin.ok) return begin.fault;
    this.open.set(user, mine + 1);
    reply.hijack();
    const stream = new Stream(reply, this.options.leaving);
    reply.raw.writeHead(200, { ...headers, 'content-type': 'text/event-stream; charset=utf-8', 'x-accel-buffering': 'no', 'x-request-id': call.traceId });
    try {
      await stream.write(retryText(retryMs));
      await this.follow(stream, request, call, wish, begin.value);
    } finally {
      const left = (this.open.get(user) ?? 1) - 1;
      if (left === 0) this.open.delete(user);
      else this.open.set(user, left);
      reply.raw.end();
    }
    return undefined;
  }

  private async beginning(request: FastifyRequest, call: Call, wish: StreamWish): Promise<Result<number>> {
    const after = beginAfter(request.headers['last-event-id'], wish.after);
    const first = await this.read(call, wish, after ?? 0, 1);
    return first.ok ? ok(after ?? first.value.lastSeq) : first;
  }

  private async follow(stream: Stream, request: FastifyRequest, call: Call, wish: StreamWish, begin: number): Promise<void> {
    let after = begin;
    let told = performance.now();
    while (!stream.gone) {
      if (this.options.leaving.aborted) return stream.end(ShuttingDown.fault('This door is closing; come back.'));
      const still = await this.stillMay(request, call);
      if (!still.ok && still.fault.code !== 'UNAVAILABLE') return stream.end(still.fault);
      const read = still.ok ? await this.read(call, wish, after, page) : still;
      if (!read.ok && read.fault.code !== 'UNAVAILABLE' && read.fault.code !== 'DEADLINE_EXCEEDED') return stream.end(read.fault);
      if (!read.ok) {
        await sleep(outageMs, stream.closed);
        continue;
      }
      const { items, lastSeq, firstSeq } = read.value;
      const lost = after > 0 && after + 1 < firstSeq;
      const text = `${lost ? resetText(firstSeq) : ''}${items.map(eventText).join('')}`;
      if (text !== '' || performance.now() - told >= aliveMs) {
        await stream.write(text === '' ? aliveText : text);
        told = performance.now();
      }
      // A page that is not full holds all up to where the log was before it was read.
      after = items.length === page ? items.at(-1)!.globalSeq : Math.max(after, lastSeq);
      if (items.length < page) await this.options.feed.news(after, aliveMs / 2, stream.closed);
    }
  }

  /** Whoever has signed out or lost the right is let go. */
  private async stillMay(request: FastifyRequest, call: Call): Promise<Result<unknown>> {
    const { gates } = this.options;
    const found = await identifyCaller(gates, request.headers.authorization, call.address);
    const caller = 'ok' in found ? found : ok(found);
    if (!caller.ok) return caller;
    const admitted = admit({ ...gates, byUser: unlimited }, caller.value, listEvents);
    if (!admitted.ok) return failed(admitted.fault);
    call.caller = caller.value;
    return admitted;
  }

  private read(call: Call, { name, objectId }: StreamWish, after: number, limit: number) {
    const input = { after, limit, latest: false, ...(name === undefined ? {} : { name }), ...(objectId === undefined ? {} : { objectId }) };
    return this.options.bus.request(listEvents, input, { ctx: call.context(listEvents.timeoutMs, this.options.leaving, null) });
  }
}

/** Reading on is not a request of the user's own. */
const unlimited = { take: () => 0 };

class Stream {
  private readonly ending = new AbortController();

  constructor(private readonly reply: FastifyReply, leaving: AbortSignal) {
    reply.raw.once('close', () => { this.ending.abort(); });
    leaving.addEventListener('abort', () => { this.wake.abort(); }, { once: true });
    this.closed = AbortSignal.any([this.ending.signal, this.wake.signal]);
  }

  private readonly wake = new AbortController();
  /** Aborts when the client is gone, or the door closes. */
  readonly closed: AbortSignal;

  get gone(): boolean {
    return this.ending.signal.aborted;
  }

  async write(text: string): Promise<void> {
    const { raw } = this.reply;
    if (this.gone || raw.write(text)) return;
    const drained = new AbortController();
    raw.once('drain', () => { drained.abort(); });
    await sleep(slowMs, AbortSignal.any([drained.signal, this.ending.signal]));
    if (!drained.signal.aborted) raw.destroy();
  }

  end(fault: Fault): Promise<void> {
    const last = this.write(endText(fault));
    this.ending.abort();
    return last;
  }
}
