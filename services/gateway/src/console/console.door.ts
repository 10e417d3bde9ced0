// `GET /v1/vms/:vmId/console`: a WebSocket that a ticket opens. What can be refused before is refused over HTTP; after that
// a close code and its reason say why.
import websocket from '@fastify/websocket';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { WebSocket } from 'ws';
import type { BusClient, BusLog } from '#bus';
import { consoleProtocol, consoleRoute, eventSubject, InvalidArgument, openConsole, Overloaded, ShuttingDown, vmChanged, vmDeleted } from '#contracts';
import type { UserId } from '#contracts';
import type { Fault, Result } from '#kernel';
import { ok } from '#kernel';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Callers } from '../caller/callers.client.ts';
import { identifyCaller } from '../rest/admission.ts';
import { parseQuery, queryOf } from '../rest/request.ts';
import { callOf } from '../rest/rest.door.ts';
import type { RestDoor } from '../rest/rest.door.ts';
import { closeOf, closeOfFault, originFault, wishOf } from './console.ts';
import type { Close, Wish } from './console.ts';
import { ConsoleSession } from './console-session.socket.ts';
import type { SessionLimits } from './console-session.socket.ts';

export interface ConsoleLimits extends SessionLimits {
  readonly mostPerUser: number;
  /** Of this replica, those being opened included. */
  readonly mostAtOnce: number;
  readonly messageBytes: number;
}

export interface ConsoleDoorParts {
  readonly bus: BusClient;
  readonly nats: NatsConnection;
  readonly callers: Callers;
  readonly log: BusLog;
  readonly limits: ConsoleLimits;
}

const never = new AbortController().signal;

export class ConsoleDoor {
  private readonly sessions = new Set<ConsoleSession>();
  private opening = 0;
  private readonly wishes = new WeakMap<FastifyRequest, Wish & { readonly userId?: UserId }>();

  constructor(private readonly door: RestDoor, private readonly parts: ConsoleDoorParts) {}

  get count(): number {
    return this.sessions.size;
  }

  add(): void {
    const { door, parts } = this;
    void door.app.register(websocket, {
      options: { maxPayload: parts.limits.messageBytes, handleProtocols: () => consoleProtocol },
      errorHandler: (_error, socket) => { socket.terminate(); }, // a client that breaks the protocol; its session ends with the socket
      preClose: (done) => { done(); }, // every session closes itself, with words
    });
    void door.app.register((scope, _options, done) => {
      scope.route({
        method: 'GET', url: consoleRoute.path,
        onRequest: door.enter({ name: openConsole.name, permission: 'public' }),
        preHandler: async (request, reply) => {
          const wish = await this.wishOf(request);
          if (wish.ok) this.wishes.set(request, wish.value);
          else void door.refuse(wish.fault, request, reply);
          return wish.ok ? undefined : reply;
        },
        handler: (request: FastifyRequest, reply: FastifyReply) => {
          void door.refuse(InvalidArgument.fault('A console is a WebSocket: send Upgrade: websocket.', { issues: [{ path: 'Upgrade', message: 'must be websocket' }] }), request, reply);
          return reply;
        },
        wsHandler: (socket, request) => {
          this.serve(socket, request, this.wishes.get(request)!).catch((error: unknown) => {
            parts.log.error({ err: error }, 'a console could not be served');
            socket.terminate();
          });
        },
      });
      done();
    });
    door.closing.addEventListener('abort', () => { this.leave(); }, { once: true });
    parts.callers.onChange((userId) => { for (const session of this.sessions) if (userId === undefined || session.userId === userId) session.check(); });
    for (const event of [vmChanged, vmDeleted]) parts.nats.subscribe(eventSubject(event, '*'), { callback: (error, { subject }) => { if (!error) this.vmChanged(subject.split('.').at(-1)!); } });
  }

  private vmChanged(vmId: string): void {
    for (const session of this.sessions) if (session.vmId === vmId) session.check();
  }

  private leave(): void {
    const close = closeOfFault(ShuttingDown.fault('This door is closing; open the console again.'));
    for (const session of [...this.sessions]) session.close({ ...close, code: 1012 });
  }

  private async wishOf(request: FastifyRequest): Promise<Result<Wish & { userId?: UserId }>> {
    const { headers } = request;
    const foreign = originFault(headers.origin, headers.host);
    if (foreign !== undefined) return { ok: false, fault: foreign };
    const query = parseQuery(queryOf(request.raw.url ?? ''));
    if (!query.ok) return query;
    const wish = wishOf({ vmId: (request.params as { vmId: string }).vmId, kind: query.value['kind'] as string | undefined, protocols: headers['sec-websocket-protocol'] });
    if (!wish.ok) return wish;
    if (this.sessions.size + this.opening >= this.parts.limits.mostAtOnce) return Overloaded.fail('This door has too many consoles open; another one may have room.');
    if (headers.authorization === undefined) return wish;
    // Whoever can prove who he is, does: a ticket that somebody else got hold of is then worth nothing to him.
    const caller = await identifyCaller(this.door.admission, headers.authorization, request.ip);
    if ('ok' in caller && !caller.ok) return caller;
    return ok({ ...wish.value, userId: ('ok' in caller ? caller.value : caller).actor.userId });
  }

  private async serve(socket: WebSocket, request: FastifyRequest, wish: Wish & { readonly userId?: UserId }): Promise<void> {
    socket.pause(); // nothing is read before there is somebody to read it
    this.opening += 1;
    const call = callOf(request);
    const opened = await this.parts.bus.request(openConsole, wish, { ctx: call.context(openConsole.timeoutMs, never, null), as: 'system', door: call.door });
    this.opening -= 1;
    if (!opened.ok) { this.turnAway(socket, request, opened.fault); return; }
    const { user } = opened.value;
    const session = new ConsoleSession(socket, { ...opened.value, vmId: wish.vmId, kind: wish.kind }, {
      ...this.parts,
      onClosed: (close) => {
        this.sessions.delete(session);
        this.note('a console was closed', wish, { user: user.handle, code: close.code, reason: close.reason });
      },
    });
    const mine = [...this.sessions].filter((one) => one.userId === user.id).length;
    this.sessions.add(session);
    this.door.finish(request, 101);
    this.note('a console was opened', wish, { user: user.handle, trace: call.traceId });
    const tooMany = this.refusal(mine);
    if (tooMany !== undefined) session.close(tooMany);
  }

  private refusal(mine: number): Close | undefined {
    if (this.door.closing.aborted) return closeOf(1012, 'SHUTTING_DOWN: This door is closing; open the console again.');
    if (mine >= this.parts.limits.mostPerUser) return closeOf(4429, `RATE_LIMITED: You have ${mine} consoles open; close one first.`);
    return undefined;
  }

  private turnAway(socket: WebSocket, request: FastifyRequest, fault: Fault): void {
    callOf(request).refused = fault.code;
    void this.door.note(fault, request);
    this.door.finish(request, 101);
    const { code, reason } = closeOfFault(fault);
    socket.resume();
    socket.close(code, reason);
    setTimeout(() => { socket.terminate(); }, this.parts.limits.partingMs).unref();
  }

  private note(text: string, { vmId, kind }: Wish, fields: object): void {
    this.parts.log.info({ vmId, kind, ...fields }, text);
  }
}
