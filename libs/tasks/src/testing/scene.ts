// A small world for tests of tasks: services with schemas of their own on the real database, a bus that calls their
// handlers in this process, and one host that keeps its promises about command ids.
import type { NatsConnection } from '@nats-io/transport-node';
import type { DataSource } from 'typeorm';
import { PlanDraft } from '../../../bus/src/plan-draft.ts';
import type { BusContext, CallOptions } from '#bus';
import type { HostOperation, InputOf, Operation, Plan, ReplyOf, RequestOf, TaskService } from '#contracts';
import { HostUnreachable, Unavailable } from '#contracts';
import { openDatabase, tasksMigrations } from '#database';
import type { Migration } from '#database';
import { failed, FaultError, newUuid, ok } from '#kernel';
import type { Result } from '#kernel';
import { makeTestSchema } from '../../../database/src/testing/test-schema.store.ts';
import type { TaskBus } from '../calls.worker.ts';
import type { TaskKind, TaskLog } from '../kind.ts';
import type { TaskSettings } from '../settings.ts';
import { TaskEngine } from '../task.engine.ts';
import { taskHandlers } from '../task.handlers.ts';
import type { MortalHost } from './trial.ts';

type Handler = (input: unknown, ctx: BusContext) => Promise<unknown>;

/** Short enough that a test sees a claim run out; long enough for a busy machine. */
export const quickSettings: Partial<TaskSettings> = { leaseMs: 800, renewMs: 200, sweepMs: 200, childLookMs: 300, childNearMs: 100, retryForMs: 1_500, mostErrors: 3, concurrency: 8, stopMs: 2_000, hostTryMs: 1_000 };

export const silentTaskLog: TaskLog = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** How many events have not been sent, as far as is noted. */
export const unsentEvents = "SELECT COUNT(*) AS n FROM outbox WHERE seq = 0 OR seq > COALESCE((SELECT sent_seq FROM relay_lease WHERE name = 'outbox'), 0)";

/** A request's context as the bus would build it. */
export const contextOf = (over: Partial<BusContext> = {}): BusContext => ({
  actor: null, system: false, actorToken: null, caller: null, idempotencyKey: null,
  deadline: { leftMs: () => 10_000, expired: () => false }, signal: new AbortController().signal, traceId: 'f'.repeat(32), ...over,
});

/** Routes requests to handlers by the operation's name. */
export class SceneBus {
  private readonly handlers = new Map<string, Handler>();
  readonly host = new SceneHost();
  /** Requests seen, by operation. */
  readonly seen: string[] = [];
  /** Commands to hosts, each with the span that it was sent in. */
  readonly told: { readonly operation: string; readonly traceparent: string | undefined }[] = [];

  handle<O extends Operation>(operation: O, handler: (input: InputOf<O>, ctx: BusContext) => Promise<ReplyOf<O> | Result<ReplyOf<O>>>): void {
    this.handlers.set(operation.name, (input, ctx) => handler(operation.input.parse(input) as InputOf<O>, ctx));
  }

  /** The bus as one service sees it. */
  of(caller: string): TaskBus {
    return {
      request: (operation, input, options) => this.request(caller, operation, input, options),
      requestHost: (hostId, operation, input, options) => {
        this.told.push({ operation: operation.name, traceparent: options?.traceparent });
        return this.host.take(hostId, operation, input);
      },
      explain: (operation, input) => this.explain(caller, operation, input),
    };
  }

  private async explain<O extends Operation>(caller: string, operation: O, input: RequestOf<O>): Promise<Result<Plan>> {
    const dryRun = new PlanDraft();
    const answer = await this.request(caller, operation, input, {}, { dryRun });
    return answer.ok ? ok(dryRun.finished(operation, 'system', answer.value)) : answer;
  }

  private async request<O extends Operation>(caller: string, operation: O, input: RequestOf<O>, options: CallOptions = {}, over: Partial<BusContext> = {}): Promise<Result<ReplyOf<O>>> {
    this.seen.push(operation.name);
    const handler = this.handlers.get(operation.name);
    if (handler === undefined) return Unavailable.fail(`The service ${operation.service} does not answer.`, { service: operation.service });
    const ctx = contextOf({ system: true, caller, idempotencyKey: options.idempotencyKey ?? null, traceId: traceIdIn(options.traceparent), ...over });
    try {
      const answer = await handler(JSON.parse(JSON.stringify(input)), ctx);
      return isResult<ReplyOf<O>>(answer) ? answer : ok(answer as ReplyOf<O>);
    } catch (error) {
      if (error instanceof FaultError) return failed(error.fault);
      throw error;
    }
  }
}

const traceIdIn = (traceparent: string | undefined): string => traceparent?.split('-')[1] ?? newUuid().replaceAll('-', '');

const isResult = <T>(value: unknown): value is Result<T> => typeof value === 'object' && value !== null && 'ok' in value && ('value' in value || 'fault' in value);

type HostAct = (input: Readonly<Record<string, unknown>>) => Result<unknown>;

/** A host that records the result of a command id before it answers, and answers a repetition from its record. */
export class SceneHost implements MortalHost {
  private readonly acts = new Map<string, HostAct>();
  private readonly journal = new Map<string, Result<unknown>>();
  reachable = true;
  dies: MortalHost['dies'] = null;
  readonly diedAt = new Set<string>();
  /** Effects that really happened, as `<command> <commandId>`. */
  readonly effects: string[] = [];
  /** Commands that arrived, repetitions among them. */
  readonly arrived: string[] = [];

  act(operation: HostOperation, act: HostAct): void {
    this.acts.set(operation.name, act);
  }

  take<O extends HostOperation>(hostId: string, operation: O, input: RequestOf<O>): Promise<Result<ReplyOf<O>>> {
    if (!this.reachable) return Promise.resolve(HostUnreachable.fail('The host does not respond.', { hostId }));
    const members = input as Readonly<Record<string, unknown>>;
    // A question has no id and no result that would be kept.
    const { commandId } = members;
    if (typeof commandId !== 'string') return Promise.resolve((this.acts.get(operation.name)?.(members) ?? ok({})) as Result<ReplyOf<O>>);
    this.arrived.push(`${operation.name} ${commandId}`);
    const before = this.journal.get(commandId);
    const dies = this.diedAt.has(commandId) ? null : (this.dies?.(commandId) ?? null);
    if (dies !== null) this.diedAt.add(commandId);
    if (dies === 'intent') return Promise.resolve(HostUnreachable.fail('The agent died before it did it.', { hostId }));
    const answer = before ?? this.acts.get(operation.name)?.(members) ?? ok({});
    if (before === undefined) this.effects.push(`${operation.name} ${commandId}`);
    // "Still at work" is no result.
    if (answer.ok || answer.fault.code !== 'COMMAND_RUNNING') this.journal.set(commandId, answer);
    return Promise.resolve(dies !== null ? HostUnreachable.fail('The agent died when it had done it.', { hostId }) : answer as Result<ReplyOf<O>>);
  }
}

export interface ServiceScene {
  readonly service: TaskService;
  readonly db: DataSource;
  readonly url: string;
  /** An engine on this schema; further ones are replicas. Its task operations are answered on the scene's bus. */
  open(kinds: readonly TaskKind[], over?: EngineOver): Promise<TaskEngine>;
  /** Closes every engine that was opened here. */
  closeEngines(): Promise<void>;
  close(): Promise<void>;
}

export interface EngineOver {
  readonly settings?: Partial<TaskSettings>;
  readonly redisUrl?: string | null;
  readonly nats?: NatsConnection;
  readonly log?: TaskLog;
}

/** `wayTo` = the address by which the service goes to its schema. */
export async function serviceScene(bus: SceneBus, service: TaskService, migrations: readonly Migration[] = [], wayTo: (url: string) => Promise<string> | string = (url) => url): Promise<ServiceScene> {
  const schema = await makeTestSchema(service);
  const db = await openDatabase({ url: await wayTo(schema.url), migrations: [...tasksMigrations, ...migrations], name: `test-${service}`, poolSize: 20 });
  const engines: TaskEngine[] = [];
  const closeEngines = async (): Promise<void> => { await Promise.all(engines.splice(0).map((engine) => engine.close())); };
  return {
    service, db, url: schema.url,
    open: async (kinds, over = {}) => {
      const engine = new TaskEngine({
        service, db, bus: bus.of(service), log: over.log ?? silentTaskLog, redisUrl: over.redisUrl ?? null,
        ...(over.nats === undefined ? {} : { nats: over.nats }), settings: { ...quickSettings, ...over.settings },
      });
      engine.add(kinds);
      await engine.open();
      engines.push(engine);
      const answers = taskHandlers(engine);
      bus.handle(answers.operations.get, (input) => answers.get(input));
      bus.handle(answers.operations.cancel, (input, ctx) => answers.cancel(input, ctx));
      return engine;
    },
    closeEngines,
    close: async () => {
      await closeEngines();
      await db.destroy();
      await schema.drop();
    },
  };
}
