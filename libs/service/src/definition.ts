// How a service describes itself to `startService`: its module, its settings and, as tables, what it runs beside answering.
import type { NatsConnection } from '@nats-io/transport-node';
import type { DynamicModule, Type } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import type { z } from 'zod';
import type { ActorVerifier, BusClient } from '#bus';
import type { processConfig } from '#config';
import type { ServiceName, TaskService as TaskServiceName } from '#contracts';
import type { Migration } from '#database';
import type { Health, Logger, Metrics } from '#telemetry';
import type { EventConsumer, TaskEngine, TaskKind } from '#tasks';
import type { DriftSource } from './drift/source.ts';

/** A schema of `#config` that has at least what every process takes. */
export type ServiceSchema = z.ZodObject<typeof processConfig.shape>;

/** What every table of a service is built from. */
export interface Parts<C> {
  readonly name: string;
  readonly config: C;
  readonly log: Logger;
  readonly nats: NatsConnection;
  readonly bus: BusClient;
  readonly verifier: ActorVerifier;
  readonly health: Health;
  readonly metrics: Metrics;
  /** A provider of the service's module. */
  readonly get: <T>(token: Type<T> | symbol) => T;
}

export interface DatabaseParts<C> extends Parts<C> {
  readonly db: DataSource;
}

export interface TaskParts<C> extends DatabaseParts<C> {
  readonly tasks: TaskEngine;
}

/** Periodic work that takes no input and may run any number of times. Runs of one reconciler never overlap. */
export interface Reconciler {
  readonly name: string;
  readonly everyMs: number;
  run(signal: AbortSignal): Promise<void>;
}

/** A way in other than the service bus (REST, bus door). Opened when everything behind it works, closed first. */
export interface Door {
  readonly name: string;
  open(): Promise<void>;
  /** Refuses new work, finishes what is inside. */
  close(): Promise<void>;
}

interface Common<P> {
  readonly module: Type | DynamicModule;
  readonly reconcilers?: (parts: P) => readonly Reconciler[];
  readonly doors?: (parts: P) => readonly Door[];
}

/** Keeps nothing: no database, no tasks. Settings: `processConfig` unless told. */
export interface PlainService<S extends ServiceSchema> extends Common<Parts<z.output<S>>> {
  readonly name: string;
  readonly config?: S;
  readonly migrations?: undefined;
  readonly tasks?: undefined;
  readonly consumers?: undefined;
}

/** Owns a schema: it can emit and consume events, and `<name>.events.read` is answered for it. Settings: `databaseServiceConfig` unless told. */
export interface DatabaseService<S extends ServiceSchema> extends Common<DatabaseParts<z.output<S>>> {
  readonly name: ServiceName;
  readonly config?: S;
  /** Behind the shared tables, which come first without being named. */
  readonly migrations: readonly Migration[];
  readonly tasks?: undefined;
  readonly consumers?: (parts: DatabaseParts<z.output<S>>) => readonly EventConsumer[];
  /** What it compares with its rows; `<name>.drift.…` is answered for it. Its migrations include those of findings. */
  readonly drift?: (parts: DatabaseParts<z.output<S>>) => readonly DriftSource[];
}

/** Runs durable tasks too: `<name>.task.get|list|cancel|retry` are answered for it. Settings: `serviceConfig` unless told. */
export interface TaskService<S extends ServiceSchema> extends Common<TaskParts<z.output<S>>> {
  readonly name: TaskServiceName;
  readonly config?: S;
  readonly migrations: readonly Migration[];
  readonly tasks: (parts: TaskParts<z.output<S>>) => readonly TaskKind[];
  readonly consumers?: (parts: TaskParts<z.output<S>>) => readonly EventConsumer[];
  /** What it compares with its rows, beside its tasks and locks. */
  readonly drift?: (parts: TaskParts<z.output<S>>) => readonly DriftSource[];
}

/** A service that runs. */
export interface RunningService {
  readonly healthPort: number;
  /** A provider of the service's module. */
  readonly get: <T>(token: Type<T> | symbol) => T;
  /** Drains and ends everything. Idempotent. False when something had to be cut. */
  stop(): Promise<boolean>;
}
