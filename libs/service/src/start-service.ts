// The one way a service's main.ts starts: settings, log, bus and database, tasks, Nest, doors; and the way back in the
// reverse order when a signal comes. A start that fails says why and ends the process: status 78 for settings, else 1.
import type { DynamicModule, INestMicroservice, Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import type { z } from 'zod';
import { BusClient, BusServer, connectBus, ensureStreams } from '#bus';
import { ConfigError, databaseConfig, driftConfig, processConfig, processConfigs, readConfig, redisConfig, retentionConfig, slotConfig, unknownVariables, version } from '#config';
import type { databaseServiceConfig, Environment, ProcessConfig, serviceConfig } from '#config';
import { services, signingKeys } from '#contracts';
import { ok } from '#kernel';
import { createLogger, createMetrics, Health, startTracing, stopTracing } from '#telemetry';
import type { BusNumbers, Logger } from '#telemetry';
import { JwtActorVerifier } from './actor-verifier.ts';
import type { ActorKeySource } from './actor-verifier.ts';
import type { DatabaseService, PlainService, RunningService, ServiceSchema, TaskParts, TaskService } from './definition.ts';
import type { Storage } from './durable.ts';
import { Lifecycle } from './lifecycle.ts';
import { trimHeap } from './memory.ts';
import { nestLogger } from './nest-logger.ts';
import { runPeriodically } from './periodic.ts';
import { PlatformModule, ServiceRoot } from './platform.module.ts';
import { AuditDenials, Bus, Config, Db, HealthChecks, Log, Nats, Numbers, Tasks, Verifier } from './tokens.ts';

/** For tests: another environment, and a process that is not the service's own (errors are thrown, signals left alone). */
export interface Surroundings {
  readonly env?: Environment;
  readonly ownsProcess?: boolean;
}

/** What all three kinds of service have in common once the compiler has seen that their parts fit. */
interface AnyService {
  readonly name: string;
  readonly module: Type | DynamicModule;
  readonly config?: ServiceSchema;
  readonly migrations?: TaskService<ServiceSchema>['migrations'] | undefined;
  readonly tasks?: TaskService<ServiceSchema>['tasks'] | undefined;
  readonly consumers?: TaskService<ServiceSchema>['consumers'] | undefined;
  readonly drift?: TaskService<ServiceSchema>['drift'] | undefined;
  readonly reconcilers?: TaskService<ServiceSchema>['reconcilers'];
  readonly doors?: TaskService<ServiceSchema>['doors'];
}

/** How long a stop waits for requests that have been received, ms; the rest of the limit is for everything else. */
const requestGraceMs = 6_000;

export function startService<S extends ServiceSchema = typeof processConfig>(service: PlainService<S>, surroundings?: Surroundings): Promise<RunningService>;
export function startService<S extends ServiceSchema = typeof databaseServiceConfig>(service: DatabaseService<S>, surroundings?: Surroundings): Promise<RunningService>;
export function startService<S extends ServiceSchema = typeof serviceConfig>(service: TaskService<S>, surroundings?: Surroundings): Promise<RunningService>;
export async function startService(service: AnyService, { env = process.env, ownsProcess = true }: Surroundings = {}): Promise<RunningService> {
  let log: Logger | undefined;
  let lifecycle: Lifecycle | undefined;
  try {
    const config = settingsOf(service, env);
    log = createLogger(service.name, { level: config.TOK_LOG_LEVEL });
    lifecycle = new Lifecycle(log);
    if (ownsProcess) lifecycle.watchProcess();
    for (const name of unknownVariables(processConfigs.map(({ schema }) => schema), env)) log.warn({ name }, 'a setting that no process knows');
    return await new Start(service, config, env, log, lifecycle, ownsProcess).run();
  } catch (error) {
    if (!ownsProcess) {
      await lifecycle?.stop('the start failed');
      throw error;
    }
    if (error instanceof ConfigError) {
      process.stderr.write(`${service.name}: ${error.message}\n`);
      return process.exit(error.exitCode);
    }
    log?.fatal({ err: error }, 'the start failed');
    await lifecycle?.stop('the start failed');
    return process.exit(1);
  }
}

function settingsOf(service: AnyService, env: Environment): ProcessConfig {
  const own: z.ZodObject = service.config ?? processConfig;
  const schema = own.extend({ ...(service.migrations ? databaseConfig.shape : {}), ...(service.tasks ? { ...redisConfig.shape, ...retentionConfig.shape, ...slotConfig.shape } : {}), ...(service.drift ? driftConfig.shape : {}) });
  return readConfig(schema, env) as ProcessConfig;
}

/** One start of one service; each step registers how it is undone. */
class Start {
  private app: INestMicroservice | undefined;

  constructor(
    private readonly service: AnyService,
    private readonly config: ProcessConfig,
    private readonly env: Environment,
    private readonly log: Logger,
    private readonly lifecycle: Lifecycle,
    private readonly ownsProcess: boolean,
  ) {}

  async run(): Promise<RunningService> {
    const { service, config, lifecycle, log } = this;
    const startedAt = performance.now();
    await startTracing({ service: config.TOK_SERVICE ?? service.name, endpoint: config.OTEL_EXPORTER_OTLP_ENDPOINT, file: config.TOK_TRACE_FILE });
    lifecycle.onStop('traces', stopTracing);
    const metrics = await createMetrics(service.name);
    const health = new Health(metrics.registry);
    const healthPort = await health.listen(config.TOK_HEALTH_PORT, config.TOK_HEALTH_HOST);
    lifecycle.onStop('health', () => health.close());

    const nats = await this.connect(health);
    const bus = new BusClient({ connection: nats, service: service.name });
    const storage = service.migrations === undefined ? undefined : await this.openStorage(service.migrations, bus, health);
    const verifier = new JwtActorVerifier(keysOfAuth(bus));
    const parts = partsOf({ name: service.name, config, log, nats, bus, verifier, health, metrics, get: (token) => this.get(token) }, storage);
    const server = new BusServer({ connection: nats, service: service.name, version, verifier, log, limits: { graceMs: requestGraceMs }, keepConnection: true, faultOf: (error) => storage?.faultOf(error), onDenied: storage && ((denied) => storage.denials.note(denied)) });

    const platform = PlatformModule.of([[Bus, bus], [Nats, nats], [Db, storage?.db], [Tasks, storage?.tasks], [AuditDenials, storage?.denials], [Log, log], [Config, config], [HealthChecks, health], [Numbers, metrics], [Verifier, verifier]]);
    const app = await NestFactory.createMicroservice(ServiceRoot.of(platform, service.module, storage?.controllers ?? []), { strategy: server, logger: nestLogger(log), abortOnError: false });
    this.app = app;
    lifecycle.onStop('module', () => app.close());
    await app.init();

    await this.startWork(parts, storage);
    await app.listen();
    lifecycle.onStop('requests', () => server.close());
    metrics.watchBus(() => numbersOf(server));
    for (const door of service.doors?.(parts) ?? []) {
      await door.open();
      lifecycle.onStop(`door ${door.name}`, () => door.close());
    }
    if (this.ownsProcess) trimHeap();
    health.serving();
    lifecycle.onStop('readiness', () => { health.stopping(); });
    log.info({ tookMs: Math.round(performance.now() - startedAt), sinceProcessStartMs: Math.round(performance.now()), healthPort, version }, 'ready');
    return { healthPort, get: parts.get, stop: () => lifecycle.stop('asked to') };
  }

  private async connect(health: Health): ReturnType<typeof connectBus> {
    const { config, service, log, lifecycle } = this;
    const nats = await connectBus({
      url: config.TOK_NATS_URL,
      ...(config.TOK_NATS_CREDS === undefined ? {} : { credsFile: config.TOK_NATS_CREDS }),
      name: config.TOK_SERVICE ?? service.name,
      log,
    });
    lifecycle.onStop('nats', () => nats.close());
    health.add('nats', async () => {
      await nats.rtt();
      return null;
    });
    return nats;
  }

  private async openStorage(migrations: NonNullable<AnyService['migrations']>, bus: BusClient, health: Health): Promise<Storage> {
    const { service, env, log, lifecycle } = this;
    const owner = services.find((name) => name === service.name);
    if (owner === undefined) throw new Error(`${service.name} is not a service that may own a schema`);
    // Loaded here and not above: a service that keeps nothing should not carry the weight of a database.
    const { openStorage } = await import('./durable.ts');
    const keep = readConfig(retentionConfig, env);
    const [storage] = await Promise.all([
      openStorage({
        name: owner,
        log,
        bus,
        migrations,
        mysqlUrl: readConfig(databaseConfig, env).TOK_MYSQL_URL,
        redisUrl: service.tasks === undefined ? undefined : readConfig(redisConfig, env).TOK_REDIS_URL,
        kept: { days: keep.TOK_KEEP_TASKS_DAYS, most: keep.TOK_KEEP_TASKS },
        slots: readConfig(slotConfig, env).TOK_TASK_SLOTS,
        ...(service.drift === undefined ? {} : { drift: readConfig(driftConfig, env) }),
      }),
      ensureStreams(bus.connection),
    ]);
    lifecycle.onStop('database', () => storage.close());
    storage.addChecks(health);
    return storage;
  }

  private async startWork(parts: TaskParts<ProcessConfig>, storage: Storage | undefined): Promise<void> {
    const { service, log, lifecycle } = this;
    if (storage !== undefined) {
      lifecycle.onStop('tasks and events', () => storage.stop());
      await storage.start(service.tasks?.(parts) ?? [], service.consumers?.(parts) ?? [], service.drift?.(parts) ?? []);
    }
    for (const reconciler of service.reconcilers?.(parts) ?? []) lifecycle.onStop(`reconciler ${reconciler.name}`, runPeriodically(reconciler, log));
  }

  private get<T>(token: Type<T> | symbol): T {
    if (this.app === undefined) throw new Error('the providers of the module are not made yet');
    return this.app.get<T>(token, { strict: false });
  }
}

/** The overloads of startService keep a service without database or tasks from asking for them; a cast is told here. */
function partsOf(parts: Omit<TaskParts<ProcessConfig>, 'db' | 'tasks'>, storage: Storage | undefined): TaskParts<ProcessConfig> {
  const missing = (what: string): never => { throw new Error(`${parts.name} has no ${what}`); };
  return {
    ...parts,
    get db() { return storage?.db ?? missing('database'); },
    get tasks() { return storage?.tasks ?? missing('tasks'); },
  };
}

const keysOfAuth = (bus: BusClient): ActorKeySource => async () => {
  const answer = await bus.request(signingKeys, {}, { as: 'system', timeoutMs: 3_000 });
  return answer.ok ? ok(answer.value.keys) : answer;
};

function numbersOf(server: BusServer): BusNumbers {
  const { tally } = server;
  const names = [...server.getHandlers().keys()].map((subject) => subject.replace(/^tok\.v1\./, ''));
  return { running: server.running, dropped: tally.noReply + tally.badReply, unknown: tally.unknown, operations: names.map((name) => ({ name, ...tally.of(name) })) };
}
