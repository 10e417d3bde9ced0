// What a service keeps: its schema, and on top of it the relay of its events, its consumers and its durable tasks.
import type { Type } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { ensureStreams, EVENTS_STREAM } from '#bus';
import type { BusClient } from '#bus';
import type { DriftConfig } from '#config';
import { driftServices, eventsRead, InvalidArgument, taskServices } from '#contracts';
import type { ServiceName } from '#contracts';
import { driftMigrations, openDatabase, tasksMigrations } from '#database';
import type { Migration } from '#database';
import { orThrow } from '#kernel';
import type { Fault } from '#kernel';
import { consumeEvents, Denials, HELD_LEASE_MS, holdsOf, outageFault, OutboxRelay, purgeCommands, purgeOutbox, TaskEngine } from '#tasks';
import type { Consumption, EventConsumer, EventsAnswer, SlotLimits, TaskKind, TasksKept } from '#tasks';
import type { Health, Logger } from '#telemetry';
import { DriftCommands } from './drift/drift.commands.ts';
import { driftController } from './drift/drift.handlers.ts';
import { DriftKeeper } from './drift/drift.keeper.ts';
import type { DriftSource } from './drift/source.ts';
import { taskDrift } from './drift/task.drift.ts';
import { runPeriodically } from './periodic.ts';
import { eventsController, tasksController } from './standard.handlers.ts';

export interface StorageOptions {
  readonly name: ServiceName;
  readonly log: Logger;
  readonly bus: BusClient;
  readonly migrations: readonly Migration[];
  readonly mysqlUrl: string;
  /** Absent in a service without tasks. */
  readonly redisUrl: string | undefined;
  /** How long tasks are kept after their end. */
  readonly kept: TasksKept;
  /** How many tasks may work at one thing at once. */
  readonly slots: SlotLimits;
  /** Absent in a service that compares nothing with the world. */
  readonly drift?: DriftConfig;
}

/** How long running steps are given at a stop, ms; another replica repeats the others. */
const stepGraceMs = 5_000;
const purgeEveryMs = 60_000;
/** The leases of relay and consumers, in a process whose tasks a test holds. */
const leases = (): { leaseMs?: number } => (holdsOf(process.env) === undefined ? {} : { leaseMs: HELD_LEASE_MS });

export const openStorage = async (options: StorageOptions): Promise<Storage> =>
  new Storage(options, await openDatabase({ url: options.mysqlUrl, migrations: [...new Set([...tasksMigrations, ...(options.drift === undefined ? [] : driftMigrations), ...options.migrations])], name: options.name }));

export class Storage {
  readonly tasks: TaskEngine | undefined;
  readonly denials: Denials;
  private readonly drift: DriftKeeper | undefined;
  /** What is answered for every service of this kind. */
  readonly controllers: readonly Type[];
  private readonly stops: (() => Promise<void>)[] = [];

  constructor(private readonly options: StorageOptions, readonly db: DataSource) {
    const { name, bus, log, redisUrl } = options;
    const owner = taskServices.find((service) => service === name);
    if (redisUrl !== undefined && owner === undefined) throw new Error(`the contracts know no tasks of ${name}`);
    this.tasks = redisUrl === undefined || owner === undefined ? undefined
      : new TaskEngine({ service: owner, db, bus, log, redisUrl, nats: bus.connection, settings: { stopMs: stepGraceMs, slots: options.slots }, kept: options.kept });
    this.denials = new Denials({ service: name, db, log });
    this.drift = keeperOf(options, db);
    this.controllers = [eventsController(name, db), ...(this.tasks === undefined ? [] : [tasksController(this.tasks)]), ...(this.drift === undefined ? [] : [driftController(new DriftCommands(this.drift))])];
  }

  addChecks(health: Health): void {
    health.add('database', async () => {
      await this.db.query('SELECT 1');
      return null;
    });
    const { tasks } = this;
    // Without Redis tasks are slower and nothing else, so it does not count.
    if (tasks !== undefined) health.add('redis', () => (tasks.redisWorks ? null : 'not connected; tasks wait for the sweep'), { informative: true });
  }

  /** A database that is away or full passes by itself, so a caller is told to ask again, and not of a bug. */
  faultOf(error: unknown): Fault | undefined {
    return outageFault(this.options.name, error);
  }

  async start(kinds: readonly TaskKind[], consumers: readonly EventConsumer[], sources: readonly DriftSource[] = []): Promise<void> {
    const { name, bus, log } = this.options;
    const relay = new OutboxRelay({ service: name, db: this.db, nats: bus.connection, log, ensureStreams, ...leases() });
    relay.start();
    this.stops.push(() => relay.stop());
    if (this.tasks === undefined) this.stops.push(runPeriodically(purgeOf(this.db), log));
    else await this.startTasks(this.tasks, kinds);
    for (const consumer of consumers) this.stops.push(stopOf(this.consume(consumer)));
    this.compare(sources);
  }

  /** The relay ends last: what ends before it may still have something to say. */
  async stop(): Promise<void> {
    for (const stop of this.stops.splice(0).toReversed()) await stop();
  }

  async close(): Promise<void> {
    await this.denials.stop();
    if (this.db.isInitialized) await this.db.destroy();
  }

  /** In every replica; the one that has the lease looks. */
  private compare(sources: readonly DriftSource[]): void {
    const { drift, tasks } = this;
    const { drift: settings, log } = this.options;
    if (drift === undefined || settings === undefined) return;
    drift.use([...sources, ...(tasks === undefined ? [] : [taskDrift(this.db, tasks)])]);
    this.stops.push(() => drift.stop(), runPeriodically({ name: 'drift', everyMs: settings.TOK_DRIFT_EVERY_MS, run: (signal) => drift.look(signal) }, log));
  }

  private async startTasks(tasks: TaskEngine, kinds: readonly TaskKind[]): Promise<void> {
    tasks.add(kinds);
    this.stops.push(() => tasks.close());
    await tasks.open();
  }

  private consume(consumer: EventConsumer): Consumption {
    const { bus, log } = this.options;
    return consumeEvents({
      ...consumer,
      nats: bus.connection,
      db: this.db,
      log,
      stream: EVENTS_STREAM,
      ensureStreams,
      ...leases(),
      readEvents: (source, afterSeq, limit, nouns) => eventsOf(bus, source, { afterSeq, limit }, nouns),
    });
  }
}

/** An owner of an earlier version knows no nouns, and answers with all events. */
async function eventsOf(bus: BusClient, source: ServiceName, page: { afterSeq: number; limit: number }, nouns: readonly string[] | undefined): Promise<EventsAnswer> {
  const operation = eventsRead(source);
  const answer = await bus.request(operation, nouns === undefined ? page : { ...page, nouns: [...nouns] }, { as: 'system' });
  const isOld = nouns !== undefined && !answer.ok && answer.fault.code === InvalidArgument.code;
  const found = orThrow(isOld ? await bus.request(operation, page, { as: 'system' }) : answer);
  return { ...found, upTo: found.upTo ?? found.events.at(-1)?.seq ?? found.lastSeq };
}

function keeperOf({ name, drift, log }: StorageOptions, db: DataSource): DriftKeeper | undefined {
  const service = driftServices.find((known) => known === name);
  if (drift === undefined) return undefined;
  if (service === undefined) throw new Error(`the contracts know no findings of ${name}`);
  return new DriftKeeper({ service, db, log, settings: { everyMs: drift.TOK_DRIFT_EVERY_MS, keepDays: drift.TOK_DRIFT_KEEP_DAYS, acts: drift.TOK_DRIFT_ACTS === 'yes' } });
}

const stopOf = (consumption: Consumption) => (): Promise<void> => consumption.stop();

/** The engine of a service with tasks does this too. */
const purgeOf = (db: DataSource): Parameters<typeof runPeriodically>[0] => ({
  name: 'purge',
  everyMs: purgeEveryMs,
  run: async (signal) => {
    await purgeOutbox(db, signal);
    await purgeCommands(db, signal);
  },
});
