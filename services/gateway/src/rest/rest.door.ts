// The REST door: one pipeline in front of every operation that has a route. It keeps nothing; what it takes it hands to
// the owner, and every request gets an answer with a code, also those that are no HTTP.
import { fastify } from 'fastify';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { IncomingMessage } from 'node:http';
import type { BusClient } from '#bus';
import { isDenial, isIdempotencyKey, isRecorded } from '#bus';
import { Internal, InvalidArgument, listEvents, MethodNotAllowed, ShuttingDown, UnknownOperation } from '#contracts';
import type { Access, Operation } from '#contracts';
import type { Clock, Fault, Result } from '#kernel';
import { newUuid, ok } from '#kernel';
import type { Denials } from '#tasks';
import type { Logger } from '#telemetry';
import { admit, identifyCaller, refusalAtTheStep } from './admission.ts';
import type { Gates } from './admission.ts';
import { successOf } from './answer.ts';
import type { Success } from './answer.ts';
import { readJson, readOut } from './body.stream.ts';
import type { BodyLimits } from './body.stream.ts';
import type { Call } from './call.ts';
import { openCall } from './calls.ts';
import { answerNoHttp, faultOfError } from './faults.ts';
import { headersOf, problemOf, problemType } from './problem.ts';
import { dryRunOf, inputOf, queryOf, refuseDoorMembers } from './request.ts';
import { doorRoutes, methodsByPath } from './routes.ts';
import { SharedReads } from './shared-reads.ts';
import type { EventTail } from '../events/event-tail.client.ts';
import { EventStreams } from '../events/event-stream.door.ts';
import { wantsStream } from '../events/event-stream.ts';
import { askPatiently } from '../waits/long-question.client.ts';
import type { Pieces } from '../waits/long-question.client.ts';
import type { DoorRoute } from './routes.ts';
import type { DoorNumbers } from './door.metrics.ts';

export interface RestOptions {
  readonly bus: BusClient;
  readonly log: Logger;
  readonly clock: Clock;
  readonly operations: readonly Operation[];
  /** Routes beside those of the operations, for the answers 404 and 405. */
  readonly fixed: readonly { readonly method: string; readonly path: string }[];
  readonly gates: Omit<Gates, 'closing'>;
  readonly tail: EventTail;
  readonly numbers: DoorNumbers;
  /** Takes what this door denies itself; what an owner denies, he records. */
  readonly denials: Pick<Denials, 'note'>;
  readonly body: BodyLimits;
  /** How questions that wait are asked. */
  readonly pieces: Pieces;
  /** Time for the request line and the headers, ms. */
  readonly headersTimeoutMs: number;
  /** How long a closing door waits for what is inside, ms. */
  readonly drainMs: number;
}

const apiHeaders = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};
/** A success as it goes to every client that asked for it. */
interface Ready extends Success {
  readonly body: string;
}

/** Long questions wait for something, each for as long as its own client does. */
const isShared = ({ route, long }: DoorRoute): boolean => route.operation.kind === 'query' && !long;

/** What the door itself says about a request, by the member of the input that it fills. */
const filled: Readonly<Record<string, (call: Call) => [string, unknown][]>> = {
  address: ({ address }) => [['address', address.slice(0, 64)]],
  holder: ({ caller }) => (caller === undefined ? [] : [['holder', caller.holder]]),
};

const json = 'application/json; charset=utf-8';
const keyHeader = 'idempotency-key';
const never = new AbortController().signal;

const keyWrong = InvalidArgument.fault('The header Idempotency-Key must be 1 to 128 printable ASCII characters.', { issues: [{ path: 'Idempotency-Key', message: '1 to 128 printable ASCII characters' }] });

export class RestDoor {
  readonly app: FastifyInstance;
  private readonly gates: Gates;
  private readonly methodsOf: (path: string) => readonly string[];
  private readonly leaving = new AbortController();
  private readonly reads = new SharedReads<Result<Ready>>();
  private readonly streams: EventStreams;

  constructor(private readonly options: RestOptions) {
    this.gates = { ...options.gates, closing: () => this.leaving.signal.aborted };
    this.streams = new EventStreams({ bus: options.bus, tail: options.tail, gates: this.gates, leaving: this.leaving.signal });
    this.app = fastify({
      logger: false,
      bodyLimit: options.body.bytes,
      return503OnClosing: false,
      forceCloseConnections: 'idle',
      http: { connectionsCheckingInterval: Math.min(2_000, options.headersTimeoutMs), headersTimeout: options.headersTimeoutMs, requestTimeout: 0 },
      routerOptions: { maxParamLength: 200, querystringParser: () => ({}) },
      frameworkErrors: (error, request, reply) => { this.refuseError(error, request, reply); },
      clientErrorHandler: (error, socket) => { answerNoHttp(error.code, socket); },
    });
    this.app.decorateRequest('call', null);
    this.app.removeAllContentTypeParsers();
    this.app.addContentTypeParser('application/json', (_request: FastifyRequest, payload: IncomingMessage) => readJson(payload, options.body));
    this.app.setErrorHandler((error: FastifyError, request, reply) => { this.refuseError(error, request, reply); });
    this.app.setNotFoundHandler((request, reply) => { void this.refuse(this.noSuchRoute(request), request, reply); });
    this.app.addHook('onResponse', (request, reply, done) => {
      this.finish(request, reply.statusCode);
      done();
    });
    const routes = doorRoutes(options.operations);
    for (const route of routes) this.addOperation(route);
    this.methodsOf = methodsByPath([...routes.map(({ route }) => route), ...options.fixed]);
  }

  /** Aborts when the door begins to close. */
  get closing(): AbortSignal {
    return this.leaving.signal;
  }

  get admission(): Gates {
    return this.gates;
  }

  async listen(port: number, host: string): Promise<string> {
    return this.app.listen({ port, host });
  }

  /** Refuses what comes new, ends waiting calls with SHUTTING_DOWN, finishes the others within `drainMs`. */
  async close(): Promise<void> {
    this.leaving.abort();
    const timer = setTimeout(() => { this.app.server.closeAllConnections(); }, this.options.drainMs);
    await this.app.close();
    clearTimeout(timer);
  }

  private addOperation(entry: DoorRoute): void {
    const { route } = entry;
    this.app.route({
      method: route.method,
      url: route.path,
      onRequest: this.enter(route.operation),
      handler: (request, reply) => this.serve(entry, request, reply),
    });
  }

  /** The first half of the pipeline, for any route: throttle, authenticate, authorise. */
  enter(operation: { readonly name: string; readonly permission: Access }) {
    return (request: FastifyRequest, reply: FastifyReply, done: () => void): void => {
      const call = openCall(operation.name, request, this.options.clock);
      request.call = call;
      const fault = refusalAtTheStep(this.gates, call.address, operation.permission);
      if (fault !== undefined) { void this.refuse(fault, request, reply); return; }
      if (operation.permission === 'public') { done(); return; }
      const found = identifyCaller(this.gates, request.headers.authorization, call.address);
      const go = (caller: Result<typeof call.caller & object>): void => {
        const admitted = caller.ok ? admit(this.gates, caller.value, operation) : caller;
        if (caller.ok) call.caller = caller.value;
        if (!admitted.ok) { void this.refuse(admitted.fault, request, reply); return; }
        done();
      };
      if (found instanceof Promise) found.then(go, (error: unknown) => { this.refuseError(error, request, reply); });
      else go(ok(found));
    };
  }

  private async serve(entry: DoorRoute, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const call = callOf(request);
    const { operation } = entry.route;
    const asked = dryRunOf(operation, queryOf(request.raw.url ?? ''));
    if (!asked.ok) { await this.refuse(asked.fault, request, reply); return; }
    const input = this.inputFor(entry, request, call, asked.value.query);
    if (!input.ok) { await this.refuse(input.fault, request, reply); return; }
    if (asked.value.dry) { await this.explain(operation, input.value, request, reply, call); return; }
    if (operation === listEvents && wantsStream(request.headers.accept)) { await this.stream(request, reply, call, input.value); return; }
    const key = this.keyFor(operation, request, reply);
    if (!key.ok) { await this.refuse(key.fault, request, reply); return; }
    const signal = entry.long ? this.signalOf(reply) : never;
    const question = (): Promise<Result<Ready>> => this.ask(entry, input.value, key.value, call, signal);
    const answer = await (call.caller !== undefined && isShared(entry) ? this.reads.ask(`${operation.name} ${call.caller.actorToken} ${JSON.stringify(input.value)}`, question) : question());
    if (!answer.ok) { await this.refuse(this.leaving.signal.aborted && entry.long ? ShuttingDown.fault('This door is closing; ask again.') : answer.fault, request, reply); return; }
    const { status, headers, body } = answer.value;
    this.answer(reply, status, headers, json, body, call);
  }

  /** Nothing is done, so there is no key to keep, no task to point at and no new version. */
  private async explain(operation: Operation, input: object, request: FastifyRequest, reply: FastifyReply, call: Call): Promise<void> {
    const answer = await this.options.bus.explain(operation, input, { ctx: call.context(operation.timeoutMs, never, null) });
    if (answer.ok) this.answer(reply, 200, {}, json, JSON.stringify(answer.value), call);
    else await this.refuse(answer.fault, request, reply);
  }

  private async stream(request: FastifyRequest, reply: FastifyReply, call: Call, wish: object): Promise<void> {
    const fault = await this.streams.serve(request, reply, call, wish, apiHeaders);
    if (fault !== undefined) await this.refuse(fault, request, reply);
    else this.finish(request, 200); // the framework does not tell the end of what it let go of
  }

  private async ask(entry: DoorRoute, input: object, key: string | null, call: Call, signal: AbortSignal): Promise<Result<Ready>> {
    const { operation } = entry.route;
    const ctx = call.context(operation.timeoutMs, signal, key);
    const answer = await askPatiently(this.options.bus, operation, input, { ctx, ...(key === null ? {} : { idempotencyKey: key }) }, this.options.pieces);
    return answer.ok ? ok({ ...successOf(entry, answer.value), body: JSON.stringify(answer.value) }) : answer;
  }

  private inputFor({ route, doorMembers }: DoorRoute, request: FastifyRequest, call: Call, query: string): Result<object> {
    const ifMatch = request.headers['if-match'];
    const input = inputOf(route, { params: request.params as Record<string, string>, query, body: request.body, ifMatch });
    if (!input.ok || doorMembers.length === 0) return input;
    const clean = refuseDoorMembers(input.value, doorMembers);
    return clean.ok ? ok({ ...clean.value, ...Object.fromEntries(doorMembers.flatMap((member) => filled[member]?.(call) ?? [])) }) : clean;
  }

  /** The key that goes to the owner and back to the client; null where none is needed. */
  private keyFor(operation: Operation, request: FastifyRequest, reply: FastifyReply): Result<string | null> {
    if (operation.kind !== 'command') return ok(null);
    const given = request.headers[keyHeader];
    if (given === undefined && operation.permission === 'public') return ok(null);
    if (given !== undefined && (typeof given !== 'string' || !isIdempotencyKey(given))) return { ok: false, fault: keyWrong };
    const key = given ?? newUuid();
    reply.header('Idempotency-Key', key);
    return ok(key);
  }

  /** Aborts when the client goes away or the door closes: nobody would read the answer. */
  private signalOf(reply: FastifyReply): AbortSignal {
    const gone = new AbortController();
    reply.raw.once('close', () => { gone.abort(); });
    return AbortSignal.any([gone.signal, this.leaving.signal]);
  }

  /** Sends a success. */
  answer(reply: FastifyReply, status: number, headers: Readonly<Record<string, string>>, type: string, body: string, call: Call): void {
    reply.code(status).headers(apiHeaders).headers(headers).header('content-type', type).header('x-request-id', call.traceId);
    if (this.leaving.signal.aborted) reply.header('connection', 'close');
    reply.send(body);
  }

  /** Notes a refusal and sends it: a denial when it is recorded. */
  async refuse(fault: Fault, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const call = (request.call ??= openCall('unknown', request, this.options.clock));
    const problem = problemOf(fault, { traceId: call.traceId, url: request.raw.url ?? '' });
    call.refused = problem.code;
    const noted = this.note(fault, request);
    if (noted !== undefined) await noted;
    reply.code(problem.status).headers(apiHeaders).headers(headersOf(fault)).header('content-type', problemType).header('x-request-id', call.traceId);
    reply.removeHeader('connection'); // Fastify closes it on every body that could not be read
    if (this.leaving.signal.aborted) reply.header('connection', 'close');
    else readOut(request.raw);
    void reply.send(JSON.stringify(problem));
  }

  refuseError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
    void this.refuse(faultOfError(error, this.options.body.bytes), request, reply);
  }

  /** Notes a refusal in log and numbers, and a denial of our own in the audit log: then there is something to wait for. */
  note(fault: Fault, request: FastifyRequest): Promise<void> | undefined {
    const { log, numbers } = this.options;
    const call = callOf(request);
    const fields = { operation: call.name, code: fault.code, address: call.address, user: call.caller?.actor.handle ?? null, trace: call.traceId };
    if (isDenial(fault)) {
      numbers.denied(call.name, fault.code);
      log.warn(fields, 'denied');
      if (!isRecorded(fault)) return this.record(fault, request);
    } else if (fault.code === Internal.code) log.error({ ...fields, method: request.method, err: fault.cause }, 'failed');
    else log.debug(fields, 'refused');
    return undefined;
  }

  private record(fault: Fault, request: FastifyRequest): Promise<void> {
    const { name, door, traceId, address, caller } = callOf(request);
    const key = request.headers[keyHeader];
    return this.options.denials.note({
      operation: name, fault, caller: { actor: caller?.actor ?? null, caller: null }, input: request.params, door, traceId, address, idempotencyKey: typeof key === 'string' ? key : null,
    });
  }

  private noSuchRoute(request: FastifyRequest): Fault {
    const path = (request.raw.url ?? '').split('?', 1)[0]!;
    const allowed = this.methodsOf(path);
    return allowed.length > 0
      ? MethodNotAllowed.fault(`This path takes ${allowed.join(', ')}.`, { allowed: [...allowed] })
      : UnknownOperation.fault('There is nothing at this path; /v1/openapi.json lists all paths.');
  }

  /** Counts a request that has been answered, and ends its trace. */
  finish(request: FastifyRequest, status: number): void {
    const { call } = request;
    if (call === null) return;
    call.end();
    this.options.numbers.served(call.name, status, this.options.clock.monotonic() - call.startedAt);
  }
}

export function callOf(request: FastifyRequest): Call {
  if (request.call === null) throw new Error('a request passed the door without being let in');
  return request.call;
}
