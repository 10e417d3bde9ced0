// The one Nest transport of the product. Every request to `tok.v1.<service>.>` is answered: by the handler of its
// contract, or with the reason why not. Use with `app.connectMicroservice({ strategy: new BusServer(…) })`.
import { randomUUID } from 'node:crypto';
import type { NatsConnection, Subscription } from '@nats-io/transport-node';
import { Server } from '@nestjs/microservices';
import type { CustomTransportStrategy, MessageHandler } from '@nestjs/microservices';
import { firstValueFrom, isObservable } from 'rxjs';
import { z } from 'zod';
import type { Fault } from '#kernel';
import type { ActorVerifier, BusContext, BusLog } from './context.ts';
import type { Denied } from './denial.ts';
import { serveDiscovery } from './discovery.nats.ts';
import { noticeEndpoint, operationEndpoint } from './endpoint.ts';
import type { Endpoint } from './endpoint.ts';
import type { Served } from './handles.decorator.ts';
import { defaultLimits } from './limits.ts';
import type { Limits } from './limits.ts';
import { Responder } from './responder.nats.ts';
import type { Tally } from './tally.ts';

export interface BusServerOptions {
  readonly connection: NatsConnection;
  /** Name of the service: its subjects are `tok.v1.<service>.>`, its queue group is the name. */
  readonly service: string;
  /** Semantic version of the product. */
  readonly version: string;
  readonly description?: string;
  readonly verifier: ActorVerifier;
  readonly log: BusLog;
  readonly limits?: Partial<Limits>;
  /** What an error that a handler throws means to the caller; undefined = a bug. */
  readonly faultOf?: (error: unknown) => Fault | undefined;
  /** Told of denials, for the audit log. */
  readonly onDenied?: ((denied: Denied) => Promise<void>) | undefined;
  /** Leave the connection open after `close()`; default: close it, as the last thing. */
  readonly keepConnection?: boolean;
}

interface Notice {
  readonly endpoint: Endpoint;
  readonly everyReplica: boolean;
}

export class BusServer extends Server implements CustomTransportStrategy {
  /** Distinguishes this replica in service discovery. */
  readonly id = randomUUID();
  private readonly operations = new Map<string, { endpoint: Endpoint; summary: string }>();
  private readonly notices: Notice[] = [];
  private readonly responder: Responder;
  private discovery: Subscription[] = [];
  private closing: Promise<void> | undefined;

  constructor(private readonly settings: BusServerOptions) {
    super();
    this.responder = new Responder({ connection: settings.connection, log: settings.log, limits: { ...defaultLimits, ...settings.limits }, faultOf: settings.faultOf, onDenied: settings.onDenied });
  }

  /** What has been served and dropped so far. */
  get tally(): Tally {
    return this.responder.tally;
  }

  /** Handlers that run now. */
  get running(): number {
    return this.responder.running;
  }

  override addHandler(pattern: string, callback: MessageHandler, _isEvent = false, extras: Record<string, unknown> = {}): void {
    const served = extras['served'] as Served | undefined;
    if (served === undefined) throw new Error(`the handler of "${pattern}" is not declared with @Handles, @OnReport or @OnHeartbeat`);
    const run = runnerOf(callback);
    if (served.kind === 'operation') this.addOperation(served, run);
    else {
      const [name, body] = served.kind === 'report' ? [`report.${served.report.name}`, served.report.body] : ['heartbeat', z.unknown()];
      const endpoint = noticeEndpoint(name, pattern, body, run);
      const shared = this.notices.some((other) => other.endpoint.subject === pattern && !other.everyReplica);
      if (shared) throw new Error(`${name} has two handlers: of one queue group only one would get it`);
      this.notices.push({ endpoint, everyReplica: served.everyReplica });
    }
    this.messageHandlers.set(pattern, callback);
  }

  private addOperation({ operation }: Extract<Served, { kind: 'operation' }>, run: Runner): void {
    if (operation.service !== this.settings.service) throw new Error(`${operation.name} cannot be handled by the service ${this.settings.service}`);
    if (this.operations.has(operation.subject)) throw new Error(`${operation.name} has two handlers`);
    this.operations.set(operation.subject, { endpoint: operationEndpoint(operation, run, this.settings.verifier), summary: operation.summary });
  }

  override listen(callback: (error?: unknown) => void): void {
    const { service } = this.settings;
    // One wildcard subscription: the server picks one member of a queue group per message over all its subjects, so a
    // second, exact subscription would only make it a matter of chance which of the two gets it.
    this.responder.subscribe(`tok.v1.${service}.>`, service, (subject) => this.operations.get(subject)?.endpoint);
    for (const { endpoint, everyReplica } of this.notices) this.responder.subscribe(endpoint.subject, everyReplica ? undefined : service, () => endpoint);
    this.discovery = serveDiscovery({
      connection: this.settings.connection,
      service,
      id: this.id,
      version: this.settings.version,
      description: this.settings.description ?? '',
      endpoints: [...this.operations.values()].map(({ endpoint: { name, subject }, summary }) => ({ name, subject, summary })),
      tally: this.tally,
    });
    this.settings.connection.flush().then(() => callback(), callback);
  }

  /** Finishes and answers what has been received, then closes the connection. Once, however often it is called. */
  override close(): Promise<void> {
    this.discovery.splice(0).forEach((subscription) => subscription.unsubscribe());
    this.closing ??= this.responder.drain().then(() => (this.settings.keepConnection ? undefined : this.settings.connection.close()));
    return this.closing;
  }

  override on(event: string): never {
    throw new Error(`the bus has no event "${event}"; watch the connection's status`);
  }

  override unwrap<T>(): T {
    return this.settings.connection as T;
  }
}

type Runner = (input: unknown, ctx: BusContext) => Promise<unknown>;

/** Nest wraps what a handler returns in an observable when filters or interceptors had a hand in it. */
const runnerOf = (callback: MessageHandler): Runner => async (input, ctx) => {
  const returned: unknown = await callback(input, ctx);
  return isObservable(returned) ? firstValueFrom(returned, { defaultValue: undefined }) : returned;
};
