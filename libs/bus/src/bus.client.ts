// The one way to ask a service or a host something: every call has a deadline, an actor and a trace, and every failure
// of the way there comes back as a fault. Nothing is retried that could happen twice.
import type { Msg, MsgHdrs, NatsConnection } from '@nats-io/transport-node';
import { headers as newHeaders, InvalidArgumentError, RequestError, TimeoutError, NoRespondersError } from '@nats-io/transport-node';
import type { BodyOf, Door, HostOperation, Operation, Plan, ReplyOf, Report, RequestOf } from '#contracts';
import { DeadlineExceeded, DryRunUnsupported, heartbeatSubject, hostSubject, HostUnreachable, InvalidArgument, PayloadTooLarge, reportSubject, Unavailable, Internal } from '#contracts';
import type { Failed, Result } from '#kernel';
import { failed, ok, sleep } from '#kernel';
import { formatTraceparent, openClientSpan } from '#telemetry';
import type { z } from 'zod';
import type { BusContext } from './context.ts';
import { deadlineIn } from './deadline.ts';
import type { Deadline } from './deadline.ts';
import { noteRecorded } from './denial.ts';
import { header, isIdempotencyKey, isSubjectToken, serviceActor } from './headers.ts';
import { bug, faultOf, parseBody, parseWith } from './wire.ts';

export interface CallOptions {
  /** The call that this one is part of: its actor, its time left, its trace and its signal go along. */
  readonly ctx?: BusContext;
  /** On this service's own behalf, whoever `ctx` names. */
  readonly as?: 'system';
  /** On behalf of the user whom this token names, for instance one that a task has kept. */
  readonly actorToken?: string;
  readonly idempotencyKey?: string;
  /** The way in that the user came by. Default: that of `ctx`, unless the call is made as the service itself. */
  readonly door?: Door;
  /** The span that this call belongs to, as in the W3C header. Default: the active one, else that of `ctx`. */
  readonly traceparent?: string;
  /** Gives the call up; its effect may still happen. Default: the signal of `ctx`. */
  readonly signal?: AbortSignal;
  /** At most this long; never longer than `ctx` has left. Default: what the contract says. */
  readonly timeoutMs?: number;
}

export interface BusClientOptions {
  readonly connection: NatsConnection;
  /** Who calls, where a call is made `as: 'system'`. */
  readonly service: string;
}

interface Call<I extends z.ZodType, R extends z.ZodType> {
  readonly name: string;
  readonly subject: string;
  readonly operation: { readonly input: I; readonly reply: R; readonly timeoutMs: number };
  readonly options: CallOptions;
  /** Asks what would happen. */
  readonly dry?: true;
  readonly retryAbsent: boolean;
  /** Answers of hosts are checked: a host is trusted less than a service. */
  readonly checkReply: boolean;
  absent(): Result<never>;
}

/** How long a service that has no replica listening is given to come back, ms. */
const ABSENCE_MS = 2_000;
const LONGEST_PAUSE_MS = 400;
const utf8 = new TextEncoder();

export class BusClient {
  constructor(private readonly options: BusClientOptions) {}

  get connection(): NatsConnection {
    return this.options.connection;
  }

  /** Asks the owner of `operation`. UNAVAILABLE = nobody took it; DEADLINE_EXCEEDED = it may still happen. */
  request<O extends Operation>(operation: O, input: RequestOf<O>, options: CallOptions = {}): Promise<Result<ReplyOf<O>>> {
    if (operation.kind === 'command') onlyInEarnest(operation, options);
    const hasKey = options.idempotencyKey !== undefined;
    return this.call<O['input'], O['reply']>({
      name: operation.name,
      subject: operation.subject,
      operation,
      options,
      retryAbsent: operation.kind === 'query' || hasKey,
      checkReply: false,
      absent: () => Unavailable.fail(`The service ${operation.service} does not answer.`, { service: operation.service }),
    }, input) as Promise<Result<ReplyOf<O>>>;
  }

  /** Asks the owner what a command would do; nothing of it happens. DRY_RUN_UNSUPPORTED where the contract does not say that it can tell. */
  explain<O extends Operation>(operation: O, input: RequestOf<O>, options: CallOptions = {}): Promise<Result<Plan>> {
    if (!operation.dryRun) return Promise.resolve(DryRunUnsupported.fail(`The server cannot explain ${operation.name} beforehand; nothing was done.`, { operation: operation.name }));
    return this.call({
      name: operation.name, subject: operation.subject, operation, options, dry: true, retryAbsent: true, checkReply: false,
      absent: () => Unavailable.fail(`The service ${operation.service} does not answer.`, { service: operation.service }),
    }, input) as Promise<Result<Plan>>;
  }

  /** Sends a command to one host. HOST_UNREACHABLE = no agent listens; DEADLINE_EXCEEDED = it may still happen. */
  requestHost<O extends HostOperation>(hostId: string, operation: O, input: RequestOf<O>, options: CallOptions = {}): Promise<Result<ReplyOf<O>>> {
    onlyInEarnest(operation, options);
    if (!isSubjectToken(hostId)) return Promise.resolve(InvalidArgument.fail('The host id cannot be part of a subject.', { issues: [{ path: 'hostId', message: 'not an id' }] }));
    return this.call<O['input'], O['reply']>({
      name: `host.${operation.name}`,
      subject: hostSubject(hostId, operation),
      operation,
      options,
      retryAbsent: false,
      checkReply: true,
      absent: () => HostUnreachable.fail('The host does not respond.', { hostId }),
    }, input) as Promise<Result<ReplyOf<O>>>;
  }

  /** Sends without waiting for anyone. Resolves when the bytes are handed to the connection; delivery is not promised. */
  publish(subject: string, body: unknown): Result<void> {
    return this.send(subject, body);
  }

  /** A host's report. Checked against its contract first. */
  report<R extends Report>(hostId: string, report: R, body: BodyOf<R>): Result<void> {
    const parsed = parseWith(report.body, body, 'The report');
    return parsed.ok ? this.send(reportSubject(hostId, report), parsed.value) : parsed;
  }

  heartbeat(hostId: string, body: unknown): Result<void> {
    return this.send(heartbeatSubject(hostId), body);
  }

  private send(subject: string, body: unknown): Result<void> {
    const bytes = this.encode(body);
    if (!bytes.ok) return bytes;
    try {
      this.connection.publish(subject, bytes.value);
      return ok(undefined);
    } catch (error) {
      return Unavailable.fail('The connection to the bus is closed.', { service: 'bus' }, error);
    }
  }

  private encode(body: unknown): Result<Uint8Array> {
    const bytes = utf8.encode(JSON.stringify(body));
    return bytes.length <= this.limitBytes ? ok(bytes) : this.tooLarge();
  }

  /** What one message may have, headers and body together. */
  private get limitBytes(): number {
    return this.connection.info?.max_payload ?? Infinity;
  }

  private tooLarge(): Failed {
    const { limitBytes } = this;
    return PayloadTooLarge.fail(`The body is larger than the ${limitBytes} bytes that the bus carries.`, { limitBytes });
  }

  private async call<I extends z.ZodType, R extends z.ZodType>(call: Call<I, R>, input: unknown): Promise<Result<z.output<R>>> {
    const parsed = parseWith(call.operation.input, input);
    if (!parsed.ok) return parsed;
    const { ctx, idempotencyKey } = call.options;
    if (idempotencyKey !== undefined && !isIdempotencyKey(idempotencyKey)) {
      return InvalidArgument.fail('The idempotency key must be 1 to 128 printable ASCII characters.', { issues: [{ path: header.idempotencyKey, message: '1 to 128 printable ASCII characters' }] });
    }
    const body = this.encode(input);
    if (!body.ok) return body;
    const span = openClientSpan(call.name, call.options, { 'messaging.system': 'nats', 'messaging.destination.name': call.subject });
    const askedMs = call.options.timeoutMs ?? call.operation.timeoutMs;
    const deadline = deadlineIn(ctx ? Math.min(askedMs, ctx.deadline.leftMs()) : askedMs);
    const result = await this.exchange(call, body.value, deadline, formatTraceparent(span.span.spanContext()));
    span.end(result.ok ? undefined : result.fault);
    return result;
  }

  private async exchange<I extends z.ZodType, R extends z.ZodType>(call: Call<I, R>, body: Uint8Array, deadline: Deadline, traceparent: string): Promise<Result<z.output<R>>> {
    const giveUp = deadlineIn(Math.min(ABSENCE_MS, deadline.leftMs()));
    const signal = call.options.signal ?? call.options.ctx?.signal;
    for (let pauseMs = 25; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      const leftMs = Math.floor(deadline.leftMs());
      if (leftMs < 1 || signal?.aborted) return DeadlineExceeded.fail('No time is left for the call.');
      const answer = await this.once(call.subject, body, leftMs, this.headersOf(call, leftMs, traceparent), signal);
      if (answer !== 'absent') return answer.ok ? this.read(call, answer.value) : answer;
      // Asked again only while the service is given time to come back, and where the answer has at least as long as the pause before it.
      if (!call.retryAbsent || giveUp.leftMs() <= pauseMs || deadline.leftMs() <= pauseMs * 2) return call.absent();
      await sleep(pauseMs, signal);
      // Nobody took it so far, so it did not happen: the answer must not say that it may have.
      if (deadline.leftMs() < 1 || signal?.aborted) return call.absent();
    }
  }

  private async once(subject: string, body: Uint8Array, timeoutMs: number, headers: MsgHdrs, signal: AbortSignal | undefined): Promise<Result<Msg> | 'absent'> {
    try {
      const answer = await orAborted(this.connection.request(subject, body, { timeout: timeoutMs, headers }), signal);
      return answer === 'aborted' ? DeadlineExceeded.fail('The call was given up.') : ok(answer);
    } catch (error) {
      if (error instanceof NoRespondersError || (error instanceof RequestError && error.isNoResponders())) return 'absent';
      if (error instanceof InvalidArgumentError) return this.tooLarge(); // the connection's one complaint about bytes and a subject of ours
      if (error instanceof TimeoutError) return DeadlineExceeded.fail(`There was no answer within ${timeoutMs} ms.`);
      if (error instanceof RequestError) return DeadlineExceeded.fail('The connection closed before there was an answer.', undefined, error); // it was sent: it may still happen
      return Unavailable.fail('The bus cannot carry the call.', { service: 'bus' }, error);
    }
  }

  private headersOf({ options, dry }: Pick<Call<z.ZodType, z.ZodType>, 'options' | 'dry'>, leftMs: number, traceparent: string): MsgHdrs {
    const headers = newHeaders();
    headers.set(header.timeoutMs, String(leftMs));
    headers.set(header.traceparent, traceparent);
    if (options.idempotencyKey !== undefined) headers.set(header.idempotencyKey, options.idempotencyKey);
    if (dry) headers.set(header.dryRun, 'true');
    const actor = this.actorOf(options);
    if (actor !== null) headers.set(header.actor, actor);
    const door = options.door ?? (this.speaksForItself(options) ? undefined : options.ctx?.door);
    if (door !== undefined) headers.set(header.door, door);
    return headers;
  }

  private actorOf(options: CallOptions): string | null {
    if (this.speaksForItself(options)) return serviceActor(this.options.service);
    return options.actorToken ?? options.ctx?.actorToken ?? null;
  }

  private speaksForItself({ as, actorToken, ctx }: CallOptions): boolean {
    return as === 'system' || (actorToken === undefined && ctx?.system === true);
  }

  private read<I extends z.ZodType, R extends z.ZodType>(call: Call<I, R>, message: Msg): Result<z.output<R>> {
    const body = parseBody(message.data, this.limitBytes);
    if (message.headers?.has(header.errorCode)) {
      const fault = faultOf(body.ok ? body.value : undefined, call.checkReply ? HostUnreachable : Internal);
      // What a user is denied is recorded by the owner; what a service is answered on its own behalf is for it to judge.
      return failed(this.speaksForItself(call.options) ? fault : noteRecorded(fault));
    }
    if (!body.ok) return failed(bug(body.fault));
    if (!call.checkReply) return ok(body.value as z.output<R>);
    const parsed = call.operation.reply.safeParse(body.value);
    return parsed.success ? ok(parsed.data) : failed(bug(parsed.error));
  }
}

/** A dry run that sends what changes something is a bug, and is stopped before it is sent. */
function onlyInEarnest({ name }: { readonly name: string }, { ctx }: CallOptions): void {
  if (ctx?.dryRun !== undefined) throw new Error(`a dry run was about to send ${name}`);
}

async function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T | 'aborted'> {
  if (!signal) return work;
  let onAbort = (): void => undefined;
  const aborted = new Promise<'aborted'>((resolve) => {
    onAbort = (): void => resolve('aborted');
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
    work.catch(() => undefined);
  }
}
