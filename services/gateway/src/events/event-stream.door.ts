// `GET /v1/events` as a stream: first what the client has missed, then what comes. The client says how far it is, and is shown
// what its rights cover at that moment; a session that has ended, or a right that is lost, closes it.
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { BusClient } from '#bus';
import { DeadlineExceeded, listEvents, RateLimited, ShuttingDown, Unavailable } from '#contracts';
import type { EventFilter, LogEntry } from '#contracts';
import type { Fault, Result } from '#kernel';
import { failed, ok, sleep } from '#kernel';
import { admit, identifyCaller } from '../rest/admission.ts';
import type { Gates } from '../rest/admission.ts';
import type { Call } from '../rest/call.ts';
import type { Caller } from '../caller/callers.client.ts';
import { EventCursor } from './event-cursor.client.ts';
import type { EventTail } from './event-tail.client.ts';
import { aliveText, beginAfter, endText, eventText, resetText, retryText } from './event-stream.ts';

export interface StreamOptions {
  readonly bus: BusClient;
  readonly tail: EventTail;
  readonly gates: Gates;
  /** Aborts when the door closes. */
  readonly leaving: AbortSignal;
}

export interface StreamWish { readonly name?: string; readonly objectId?: string; readonly after?: unknown }

/** What passes by itself: the client waits. */
const passes: ReadonlySet<string> = new Set([Unavailable.code, DeadlineExceeded.code]);
const aliveMs = 10_000;
const outageMs = 1_000;
const retryMs = 1_000;
/** A client that does not read for so long is let go; it can come back and goes on where it was. */
const slowMs = 30_000;
const mostPerUser = 20;

const filterOf = ({ name, objectId }: StreamWish): EventFilter => ({ ...(name === undefined ? {} : { names: [name] }), ...(objectId === undefined ? {} : { objects: [objectId] }) });

export class EventStreams {
  private readonly open = new Map<string, number>();
  private readonly written = new WeakMap<readonly LogEntry[], Buffer>();

  constructor(private readonly options: StreamOptions) {}

  /** Takes the connection over until either side ends it. A fault = refused, nothing was written. */
  async serve(request: FastifyRequest, reply: FastifyReply, call: Call, wish: StreamWish, headers: Readonly<Record<string, string>>): Promise<Fault | undefined> {
    const user = call.caller?.actor.userId ?? '';
    const mine = this.open.get(user) ?? 0;
    if (mine >= mostPerUser) return RateLimited.fault(`You have ${mine} streams of events open already.`, { retryAfterMs: 10_000 });
    const after = beginAfter(request.headers['last-event-id'], wish.after);
    const cursor = new EventCursor(this.options, filterOf(wish), after ?? undefined);
    const first = await this.firstWords(cursor, call, wish);
    if (!first.ok) return first.fault;
    this.open.set(user, mine + 1);
    const leave = this.options.tail.follow();
    reply.hijack();
    const stream = new Stream(reply, this.options.leaving);
    reply.raw.writeHead(200, { ...headers, 'content-type': 'text/event-stream; charset=utf-8', 'x-accel-buffering': 'no', 'x-request-id': call.traceId });
    try {
      await stream.write(retryText(retryMs));
      if (first.value !== '') await stream.write(first.value);
      await this.follow(stream, request, call, cursor, wish);
    } finally {
      leave();
      const left = (this.open.get(user) ?? 1) - 1;
      if (left === 0) this.open.delete(user);
      else this.open.set(user, left);
      reply.raw.end();
    }
    return undefined;
  }

  /** What there is at once, or why there will be nothing: as long as nothing is written, a refusal has a status. */
  private async firstWords(cursor: EventCursor, { caller }: Call, { objectId }: StreamWish): Promise<Result<string>> {
    if (caller === undefined) throw new Error('a stream of events was let in without a caller');
    const heard = await cursor.next(caller, 0, this.options.leaving);
    if (!heard.ok) return heard;
    const { gone, items } = heard.value;
    return ok(`${gone === undefined ? '' : resetText(gone)}${this.bytesOf(items, objectId).toString()}`);
  }

  private async follow(stream: Stream, request: FastifyRequest, call: Call, cursor: EventCursor, wish: StreamWish): Promise<void> {
    let told = performance.now();
    while (!stream.gone) {
      if (this.options.leaving.aborted) return stream.end(ShuttingDown.fault('This door is closing; come back.'));
      const still = await this.stillMay(request, call);
      const heard = still.ok ? await cursor.next(still.value, aliveMs / 2, stream.closed) : still;
      if (!heard.ok && !passes.has(heard.fault.code)) return stream.end(heard.fault);
      if (!heard.ok) {
        await sleep(outageMs, stream.closed);
        continue;
      }
      const { gone } = heard.value;
      const bytes = this.bytesOf(heard.value.items, wish.objectId);
      if (gone !== undefined) await stream.write(resetText(gone));
      if (bytes.length > 0) await stream.write(bytes);
      else if (gone === undefined && performance.now() - told < aliveMs) continue;
      else await stream.write(aliveText);
      told = performance.now();
    }
  }

  /** Made once for all who hear the same. */
  private bytesOf(items: readonly LogEntry[], objectId: string | undefined): Buffer {
    if (objectId !== undefined) return Buffer.from(items.filter((item) => item.objectId === objectId).map(eventText).join(''));
    const known = this.written.get(items);
    if (known !== undefined) return known;
    const bytes = Buffer.from(items.map(eventText).join(''));
    this.written.set(items, bytes);
    return bytes;
  }

  /** Whoever has signed out or lost the right is let go. */
  private async stillMay(request: FastifyRequest, call: Call): Promise<Result<Caller>> {
    const { gates } = this.options;
    const found = await identifyCaller(gates, request.headers.authorization, call.address);
    const caller = 'ok' in found ? found : ok(found);
    if (!caller.ok) return caller;
    const admitted = admit({ ...gates, byUser: unlimited }, caller.value, listEvents);
    if (!admitted.ok) return failed(admitted.fault);
    call.caller = caller.value;
    return admitted;
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

  async write(text: string | Buffer): Promise<void> {
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
