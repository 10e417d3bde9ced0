// The gateway in front of services that a test plays: what they are asked is recorded, what they answer is a table.
import { makeTestSchema, startNatsServer, testDir, until } from '#testing';
import type { TestNats, TestSchema } from '#testing';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { Type } from '@nestjs/common';
import { COMMANDS_STREAM } from '#bus';
import { connect, headers } from '@nats-io/transport-node';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { eventSubject, httpStatusOf, permissions, userChanged } from '#contracts';
import type { Actor, Holder, Permission, UserId } from '#contracts';
import type { Fault, Result } from '#kernel';
import { newUuid, ok } from '#kernel';
import { startService } from '#service';
import type { RunningService } from '#service';
import { gateway } from '../gateway.service.ts';
import { busDoor } from './bus/bus.door.ts';
import { commandsDoor } from './command/commands.door.ts';
import { feedsDoor } from './feed/feeds.door.ts';
import { doorLimits, restDoor } from './rest/open.door.ts';
import type { DoorLimits, RestDoorHandle } from './rest/open.door.ts';

export interface Asked {
  readonly operation: string;
  readonly input: Record<string, unknown>;
  readonly actor: string;
  readonly key: string;
  readonly dry: boolean;
  readonly door: string;
  readonly traceparent: string;
}
export type Play = (asked: Asked) => Promise<Result<unknown>> | Result<unknown>;

const user = (handle: string, rights: readonly Permission[]): Actor => ({ userId: newUuid() as UserId, handle, rights: [{ permissions: [...rights], scope: 'site', scopeId: null }] });

/** Bearers that the played auth knows. */
export const people = { ann: user('ann', permissions), eve: user('eve', ['cluster.read']), may: user('may', permissions) } as const;
type Person = keyof typeof people;
/** The session that each of them has. */
export const holders: Readonly<Record<Person, Holder>> = { ann: { kind: 'session', id: newUuid() }, eve: { kind: 'session', id: newUuid() }, may: { kind: 'token', id: newUuid() } };

const everything = { ...doorLimits, body: { bytes: 1024 * 1024, timeMs: 400 }, headersTimeoutMs: 800, drainMs: 1_000, upload: { idleMs: 500, tries: 3 } };

interface Options { readonly limits?: Partial<DoorLimits>; readonly env?: Record<string, string>; /** How soon another gateway gets the commands of one that is dead. */ readonly ackWaitMs?: number }

export class GatewayUnderTest {
  readonly asked: Asked[] = [];
  readonly plays = new Map<string, Play>();
  /** Bearers that auth no longer believes. */
  readonly withdrawn = new Set<string>();
  door: RestDoorHandle | undefined;
  private service: RunningService | undefined;

  private constructor(private readonly server: TestNats, readonly nats: NatsConnection, readonly schema: TestSchema, private readonly options: Options) {}

  static async start(options: Options = {}): Promise<GatewayUnderTest> {
    const under = await GatewayUnderTest.prepare(options);
    await under.startService();
    return under;
  }

  /** Everything but the gateway itself. */
  static async prepare(options: Options = {}): Promise<GatewayUnderTest> {
    // A server of its own: the services that are played here may run for real in another test.
    const server = await startNatsServer(testDir());
    const { url } = server;
    const under = new GatewayUnderTest(server, await connect({ servers: url }), await makeTestSchema('gateway'), options);
    for (const service of ['auth', 'compute', 'storage', 'templates', 'monitoring']) under.nats.subscribe(`tok.v1.${service}.>`, { callback: (_error, message) => { void under.answer(message); } });
    under.plays.set('auth.session.resolve', (asked) => under.resolve(String(asked.input['bearer'])));
    under.plays.set('auth.user.resolve', (asked) => under.resolve(String(asked.input['handle'])));
    await under.nats.flush();
    return under;
  }

  async startService(): Promise<void> {
    const started = await this.startBeside();
    this.service = started.service;
    this.door = started.door;
  }

  /** One more gateway; whoever starts it stops it. */
  async startBeside(): Promise<{ readonly service: RunningService; readonly door: RestDoorHandle | undefined }> {
    const { limits, env, ackWaitMs } = this.options;
    let door: RestDoorHandle | undefined;
    const service = await startService({
      ...gateway,
      doors: (parts) => [(door = restDoor(parts, undefined, { ...everything, ...limits })), busDoor(parts), commandsDoor(parts, ackWaitMs === undefined ? {} : { ackWaitMs }), feedsDoor(parts)],
    }, {
      env: { TOK_NATS_URL: this.natsUrl, TOK_MYSQL_URL: this.schema.url, TOK_LOG_LEVEL: 'fatal', TOK_HTTP_PORT: '0', TOK_HTTP_REQUESTS_PER_SECOND: '100000', TOK_HTTP_SIGN_INS_PER_SECOND: '10000', ...env },
      ownsProcess: false,
    });
    return { service, door };
  }

  get url(): string {
    return this.door?.url() ?? '';
  }

  get natsUrl(): string {
    return this.server.url;
  }

  get healthPort(): number {
    return this.service?.healthPort ?? 0;
  }

  /** A provider of the gateway's module. */
  get<T>(token: Type<T> | symbol): T {
    if (this.service === undefined) throw new Error('the gateway does not run');
    return this.service.get(token);
  }

  /** The door makes its stream beside the start. */
  async takesCommands(): Promise<void> {
    await until('the stream of commands', async () => (await jetstreamManager(this.nats)).streams.info(COMMANDS_STREAM).catch(() => undefined));
  }

  /** Publishes a command as a user does; resolves when the server has it. */
  async publish(handle: string, operation: string, body: unknown, key: string | null = newUuid(), more: Readonly<Record<string, string>> = {}): Promise<void> {
    const sent = headers();
    for (const [name, value] of Object.entries(more)) sent.set(name, value);
    if (key !== null) sent.set('Idempotency-Key', key);
    await jetstream(this.nats).publish(`tok.v1.user.${handle}.cmd.${operation}`, typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body), { headers: sent });
  }

  play(operation: string, play: Play): void {
    this.plays.set(operation, play);
  }

  questions(operation: string): Asked[] {
    return this.asked.filter((asked) => asked.operation === operation);
  }

  fetch(path: string, init: RequestInit & { as?: Person | null } = {}): Promise<Response> {
    const { as = 'ann', ...rest } = init;
    const sent = new Headers(rest.headers);
    if (as !== null) sent.set('authorization', `Bearer ${as}`);
    return fetch(`${this.url}${path}`, { ...rest, headers: sent });
  }

  /** Tells the doors that something about this person has changed. */
  async announceChange(person: Person): Promise<void> {
    this.nats.publish(eventSubject(userChanged, people[person].userId), '{}');
    await this.nats.flush();
  }

  async stop(): Promise<void> {
    await this.service?.stop();
  }

  async end(): Promise<void> {
    await this.stop();
    await this.nats.close();
    await this.server.stop();
    await this.schema.drop();
  }

  private resolve(bearer: string): Result<unknown> {
    const known = Object.hasOwn(people, bearer) && !this.withdrawn.has(bearer);
    if (!known) return { ok: false, fault: { code: 'UNAUTHENTICATED', detail: 'The token is not valid.' } };
    return ok({ actor: people[bearer as Person], actorToken: `actor-of-${bearer}`, validForMs: 30_000, mustChangePassword: bearer === 'may', holder: holders[bearer as Person] });
  }

  private async answer(message: Msg): Promise<void> {
    const operation = message.subject.slice('tok.v1.'.length);
    const read = (name: string): string => message.headers?.get(name) ?? '';
    const asked = { operation, input: message.json<Record<string, unknown>>(), actor: read('Tok-Actor'), key: read('Idempotency-Key'), dry: read('Tok-Dry-Run') === 'true', door: read('Tok-Door'), traceparent: read('traceparent') };
    this.asked.push(asked);
    const outcome = await (this.plays.get(operation) ?? (() => ok({})))(asked);
    if (outcome.ok) message.respond(JSON.stringify(outcome.value));
    else message.respond(JSON.stringify(outcome.fault), { headers: errorHeaders(outcome.fault) });
  }
}

function errorHeaders({ code }: Fault): ReturnType<typeof headers> {
  const made = headers();
  made.set('Nats-Service-Error-Code', String(httpStatusOf(code)));
  made.set('Nats-Service-Error', code);
  return made;
}
