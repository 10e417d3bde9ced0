// Takes messages from subscriptions and sees each to its end: every request is answered once, never more handlers run
// than allowed, nothing is published but to an inbox, and a stop loses nothing that has been received.
import type { Msg, MsgHdrs, NatsConnection, Subscription } from '@nats-io/transport-node';
import { headers as newHeaders } from '@nats-io/transport-node';
import { DeadlineExceeded, InvalidArgument, Overloaded, PayloadTooLarge, ShuttingDown, UnknownOperation } from '#contracts';
import type { Door } from '#contracts';
import type { Fault, Result } from '#kernel';
import { failed, FaultError, ok, systemClock } from '#kernel';
import { bindSpan, openServerSpan, parseTraceparent, within } from '#telemetry';
import type { BusContext, BusLog } from './context.ts';
import { atMost, deadlineIn, parseTimeout } from './deadline.ts';
import type { Endpoint } from './endpoint.ts';
import { Exchange } from './exchange.ts';
import { Gate } from './gate.ts';
import { nobody } from './access.ts';
import type { Caller } from './access.ts';
import { isDenial, isRecorded } from './denial.ts';
import type { Denied } from './denial.ts';
import { doorOf, header, isInbox } from './headers.ts';
import type { Limits } from './limits.ts';
import { Tally } from './tally.ts';
import { bug, errorBody, errorNumber, isResult, parseBody } from './wire.ts';

export interface ResponderOptions {
  readonly connection: NatsConnection;
  readonly log: BusLog;
  readonly limits: Limits;
  /** What a handler's error means to the caller; undefined = a bug. */
  readonly faultOf?: ((error: unknown) => Fault | undefined) | undefined;
  /** Where this message may be answered; default: any inbox. */
  readonly mayAnswer?: (message: Pick<Msg, 'subject' | 'reply'>) => boolean;
  /** Told of each answer to an operation that there is; `code` is that of a refusal. */
  readonly onAnswer?: (name: string, code: string | undefined, tookMs: number) => void;
  /** The way in, where all requests come by one; default: what their header says. */
  readonly door?: Door;
  /** Told of each denial of a user's request that nobody has recorded yet, before it is answered; must not reject. */
  readonly onDenied?: ((denied: Denied) => Promise<void>) | undefined;
}

/** Which endpoint a subject belongs to; undefined = none, which is answered UNKNOWN_OPERATION. */
export type Route = (subject: string) => Endpoint | undefined;

const utf8 = new TextEncoder();
const UNSUBSCRIBE_MS = 3_000;
const FLUSH_MS = 1_000;
const hostToken = 3; // tok.v1.rpt.<hostId>.…, tok.v1.hb.<hostId>

export class Responder {
  readonly tally = new Tally();
  private readonly requests: Gate;
  private readonly notices: Gate;
  private readonly open = new Map<Exchange, Msg>();
  private readonly subscriptions: Subscription[] = [];

  constructor(private readonly options: ResponderOptions) {
    const { running, waiting } = options.limits;
    this.requests = new Gate(running, waiting);
    this.notices = new Gate(running, waiting);
  }

  get running(): number {
    return this.requests.running;
  }

  subscribe(subject: string, queue: string | undefined, route: Route): void {
    const callback = (error: Error | null, message: Msg): void => {
      if (error) this.options.log.error({ err: error, subject }, 'the subscription failed');
      else this.take(message, route(message.subject));
    };
    this.subscriptions.push(this.options.connection.subscribe(subject, queue === undefined ? { callback } : { queue, callback }));
  }

  /** Takes nothing more, finishes what has been received, answers SHUTTING_DOWN to what does not end within the grace. */
  async drain(): Promise<void> {
    const { connection, limits, log } = this.options;
    const finished = async (): Promise<void> => {
      const drained = Promise.allSettled(this.subscriptions.filter((subscription) => !subscription.isClosed()).map((subscription) => subscription.drain()));
      await atMost(UNSUBSCRIBE_MS, drained); // without a server it would not end
      await Promise.all([this.requests.idle(), this.notices.idle()]);
    };
    if ((await atMost(limits.graceMs, finished())) === 'late') {
      log.warn({ unfinished: this.open.size }, 'stopping before everything has finished');
      for (const exchange of [...this.open.keys()]) exchange.giveUp(ShuttingDown.fault('The service is stopping.'));
    }
    if (!connection.isClosed()) await atMost(FLUSH_MS, this.flush());
  }

  private async flush(): Promise<void> {
    try {
      await this.options.connection.flush();
    } catch (error) {
      this.options.log.warn({ err: error }, 'the last answers may not have left');
    }
  }

  private take(message: Msg, endpoint: Endpoint | undefined): void {
    if (endpoint && !endpoint.answered) { this.takeNotice(message, endpoint); return; }
    if (message.reply === undefined || message.reply === '') { this.drop(message, 'noReply', 'a request without reply subject'); return; }
    if (!isInbox(message.reply) || this.options.mayAnswer?.(message) === false) { this.drop(message, 'badReply', 'a request whose reply subject is not an inbox'); return; }
    if (!endpoint) {
      this.tally.unknown += 1;
      this.publish(message, failed(UnknownOperation.fault('There is no such operation.')), traceOf(message)); return;
    }
    const timeoutMs = this.timeoutOf(message, endpoint);
    if (!timeoutMs.ok) { this.publish(message, timeoutMs, traceOf(message)); return; }
    const exchange = this.begin(message, endpoint, timeoutMs.value);
    if (!this.requests.offer(() => this.serve(exchange, message))) exchange.settle(Overloaded.fail('The service has too much to do.'));
  }

  private takeNotice(message: Msg, endpoint: Endpoint): void {
    const exchange = this.begin(message, endpoint, endpoint.timeoutMs);
    if (!this.notices.offer(() => this.serve(exchange, message))) exchange.settle(Overloaded.fail('Too many reports at once; this one is dropped.'));
  }

  private drop(message: Msg, count: 'noReply' | 'badReply', what: string): void {
    this.tally[count] += 1;
    this.options.log.warn({ subject: message.subject, reply: message.reply }, `dropped ${what}`);
  }

  private timeoutOf(message: Msg, endpoint: Endpoint): Result<number> {
    const text = message.headers?.get(header.timeoutMs) ?? '';
    if (text === '') return ok(endpoint.timeoutMs);
    const ms = parseTimeout(text);
    return ms === undefined ? InvalidArgument.fail(`The header ${header.timeoutMs} is not a number of milliseconds.`, { issues: [{ path: header.timeoutMs, message: 'whole milliseconds, 1 to 3600000' }] }) : ok(ms);
  }

  private begin(message: Msg, endpoint: Endpoint, timeoutMs: number): Exchange {
    const exchange = new Exchange(endpoint, message.subject, deadlineIn(timeoutMs), traceOf(message), (self, outcome) => this.finish(self, message, outcome));
    this.open.set(exchange, message);
    return exchange;
  }

  private async serve(exchange: Exchange, message: Msg): Promise<void> {
    if (exchange.settled) return;
    if (exchange.deadline.expired()) { exchange.giveUp(DeadlineExceeded.fault('The time for the call ended before its turn came.')); return; }
    exchange.startedAt = systemClock.monotonic();
    const span = openServerSpan(exchange.endpoint.name, message.headers?.get(header.traceparent), { 'messaging.system': 'nats', 'messaging.destination.name': exchange.endpoint.subject });
    exchange.traceId = span.traceId;
    const timer = setTimeout(() => exchange.giveUp(DeadlineExceeded.fault('The call took longer than its caller waits.')), exchange.deadline.leftMs());
    const outcome = await within(span, () => this.process(exchange, message, (ctx) => bindSpan(ctx, span)));
    clearTimeout(timer);
    exchange.settle(outcome);
    span.end(outcome.ok ? undefined : outcome.fault);
  }

  private async process(exchange: Exchange, message: Msg, bind: (ctx: BusContext) => void): Promise<Result<unknown>> {
    let caller = nobody;
    const outcome = await this.handle(exchange, message, bind, (found) => { caller = found; });
    if (!outcome.ok) await this.tellDenial(exchange, message, caller, outcome.fault);
    return outcome;
  }

  /** A service's question is not denied to anybody: whoever asked on a user's behalf records what becomes of it. */
  private async tellDenial({ endpoint, traceId }: Exchange, message: Msg, caller: Caller, fault: Fault): Promise<void> {
    const { onDenied, door, limits } = this.options;
    if (onDenied === undefined || caller.system || !endpoint.answered || !isDenial(fault) || isRecorded(fault)) return;
    const body = parseBody(message.data, limits.bodyBytes);
    const input = body.ok ? endpoint.parse(body.value) : body;
    const read = (name: string): string => message.headers?.get(name) ?? '';
    await onDenied({ operation: endpoint.name, fault, caller, subject: message.subject, input: input.ok ? input.value : undefined, door: door ?? doorOf(read(header.door)), traceId: traceId ?? null, idempotencyKey: read(header.idempotencyKey) || null });
  }

  private async handle(exchange: Exchange, message: Msg, bind: (ctx: BusContext) => void, identified: (caller: Caller) => void): Promise<Result<unknown>> {
    const { endpoint } = exchange;
    const read = (name: string): string => message.headers?.get(name) ?? '';
    try {
      const caller = await endpoint.admit(read, identified);
      if (!caller.ok) return caller;
      const body = parseBody(message.data, this.options.limits.bodyBytes);
      if (!body.ok) return body;
      const input = endpoint.parse(body.value);
      if (!input.ok) return input;
      const dryRun = endpoint.draft?.(read);
      const ctx: BusContext = {
        ...caller.value,
        ...(dryRun === undefined ? {} : { dryRun }),
        idempotencyKey: read(header.idempotencyKey) || null,
        door: this.options.door ?? doorOf(read(header.door)),
        deadline: exchange.deadline,
        signal: exchange.signal,
        traceId: exchange.traceId ?? '',
        ...(endpoint.answered ? {} : { hostId: message.subject.split('.')[hostToken] ?? '' }),
      };
      bind(ctx);
      const value = await endpoint.run(input.value, ctx);
      if (isResult(value)) return value.ok ? ok(endpoint.encode(value.value, input.value)) : value;
      return ok(endpoint.encode(value, input.value));
    } catch (error) {
      return failed(error instanceof FaultError ? error.fault : (this.options.faultOf?.(error) ?? bug(error)));
    }
  }

  private finish(exchange: Exchange, message: Msg, outcome: Result<unknown>): void {
    const { endpoint, startedAt, traceId } = exchange;
    this.open.delete(exchange);
    const tookMs = startedAt === null ? 0 : systemClock.monotonic() - startedAt;
    const code = outcome.ok ? undefined : outcome.fault.code;
    this.tally.count(endpoint.name, tookMs, code);
    this.options.onAnswer?.(endpoint.name, code, tookMs);
    if (!outcome.ok) this.logFault(exchange, outcome.fault, tookMs);
    if (endpoint.answered) this.publish(message, outcome, traceId);
  }

  private logFault({ endpoint, traceId, subject }: Exchange, fault: Fault, tookMs: number): void {
    const fields = { operation: endpoint.name, code: fault.code, detail: fault.detail, traceId, tookMs, ...(fault.cause === undefined ? {} : { err: fault.cause }) };
    if (fault.code === 'INTERNAL') this.options.log.error(fields, 'a handler failed');
    else if (!endpoint.answered) this.options.log.warn({ ...fields, subject, details: fault.details }, 'a report was refused');
    else this.options.log.debug(fields, 'refused');
  }

  private publish(message: Msg, outcome: Result<unknown>, traceId: string | undefined): void {
    const { connection, log } = this.options;
    const answer = encodeAnswer(outcome, traceId, connection.info?.max_payload ?? Infinity);
    try {
      message.respond(answer.bytes, answer.headers ? { headers: answer.headers } : {});
    } catch (error) {
      log.error({ err: error, subject: message.subject, traceId }, 'the answer could not be sent');
    }
  }
}

const traceOf = (message: Msg): string | undefined => parseTraceparent(message.headers?.get(header.traceparent))?.traceId;

/** The bytes of an answer; a reply that the bus cannot carry becomes a refusal, so that the caller is not left waiting. */
function encodeAnswer(outcome: Result<unknown>, traceId: string | undefined, limitBytes: number): { bytes: Uint8Array; headers?: MsgHdrs } {
  if (outcome.ok) {
    const bytes = utf8.encode(JSON.stringify(outcome.value ?? {}));
    if (bytes.length <= limitBytes) return { bytes };
    return encodeAnswer(PayloadTooLarge.fail('The answer is larger than the bus carries: ask for less at once.', { limitBytes }), traceId, limitBytes);
  }
  const { fault } = outcome;
  const headers = newHeaders();
  headers.set(header.errorCode, errorNumber(fault.code));
  headers.set(header.error, fault.code);
  return { bytes: utf8.encode(JSON.stringify(errorBody(fault, traceId))), headers };
}
