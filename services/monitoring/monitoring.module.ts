// What monitoring consists of.
import { Module } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import type { BusClient } from '#bus';
import type { MonitoringConfig } from '#config';
import { Bus, Config, Db, Log, masterKey } from '#service';
import type { Logger } from '#telemetry';
import { DriftHandlers } from './src/drift/drift.handlers.ts';
import { DriftReader } from './src/drift/drift.reader.ts';
import { EventHandlers } from './src/event/event.handlers.ts';
import { EventReader } from './src/event/event.reader.ts';
import { HistoryHandlers } from './src/history/history.handlers.ts';
import { TaskHandlers } from './src/task/task.handlers.ts';
import { TaskReader } from './src/task/task.reader.ts';
import { TaskWaiters } from './src/task/task.waiters.ts';
import { networks } from './src/webhook/address.ts';
import { WebhookKey, type SiteKey } from './src/webhook/webhook-key.ts';
import { WebhookPost } from './src/webhook/webhook-post.client.ts';
import { WebhookCommands } from './src/webhook/webhook.commands.ts';
import { WebhookHandlers } from './src/webhook/webhook.handlers.ts';
import { WebhookSender } from './src/webhook/webhook.worker.ts';

@Module({
  controllers: [EventHandlers, TaskHandlers, HistoryHandlers, DriftHandlers, WebhookHandlers],
  providers: [
    { provide: TaskWaiters, useFactory: () => new TaskWaiters() },
    { provide: EventReader, inject: [Db, TaskWaiters], useFactory: (db: DataSource, waiters: TaskWaiters) => new EventReader(db, waiters) },
    { provide: DriftReader, inject: [Db, Bus], useFactory: (db: DataSource, bus: BusClient) => new DriftReader(db, bus) },
    { provide: TaskReader, inject: [Db, Bus, TaskWaiters], useFactory: (db: DataSource, bus: BusClient, waiters: TaskWaiters) => new TaskReader(db, bus, waiters) },
    { provide: WebhookKey, inject: [Config], useFactory: ({ TOK_DATA_DIR: dir }: MonitoringConfig): Promise<SiteKey> => (dir === undefined ? Promise.resolve(undefined) : masterKey(dir)) },
    { provide: WebhookPost, inject: [Config], useFactory: ({ TOK_WEBHOOK_ALLOW: allowed }: MonitoringConfig) => new WebhookPost(networks(allowed)) },
    WebhookCommands,
    {
      provide: WebhookSender, inject: [Db, Bus, TaskWaiters, WebhookPost, WebhookKey, Log, Config],
      useFactory: (db: DataSource, bus: BusClient, waiters: TaskWaiters, post: WebhookPost, key: SiteKey, log: Logger, { TOK_WEBHOOK_PATIENCE_HOURS: hours }: MonitoringConfig) =>
        new WebhookSender({ db, bus, waiters, post, key, log, patienceMs: hours * 3_600_000 }),
    },
  ],
})
export class MonitoringModule {}
