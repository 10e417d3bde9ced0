// Monitoring as a table: its module, schema, the events of all services that it takes in, and what it keeps at its size.
import { auditEventNames, driftChanged, services, taskChanged, userDeleted } from '#contracts';
import { afterCommit } from '#database';
import { monitoringConfig } from '#config';
import type { DatabaseService } from '#service';
import { monitoringMigrations } from './migrations/0001-tables.ts';
import { monitoringScopeMigrations } from './migrations/0011-scopes.ts';
import { monitoringKeptEvents } from './migrations/0021-kept-events.ts';
import { monitoringWebhooks } from './migrations/0022-webhooks.ts';
import { monitoringDriftMigrations } from './migrations/0023-drift.ts';
import { MonitoringModule } from './monitoring.module.ts';
import { keepFinding } from './src/drift/drift.store.ts';
import { logNews } from './src/event/event.reader.ts';
import { logEvents } from './src/event/event.store.ts';
import { retentionReconciler } from './src/event/retention.reconciler.ts';
import { keepScopes } from './src/scope/scope.store.ts';
import { WebhookSender } from './src/webhook/webhook.worker.ts';
import { removeWebhooksOf } from './src/webhook/webhook.commands.ts';
import { keepTasks } from './src/task/task.store.ts';
import { TaskWaiters } from './src/task/task.waiters.ts';

export const monitoringTables = [...monitoringMigrations, ...monitoringScopeMigrations, monitoringKeptEvents, monitoringWebhooks, ...monitoringDriftMigrations];

const taskData = taskChanged('compute').data;
const driftData = driftChanged('compute').data;

export const monitoringService: DatabaseService<typeof monitoringConfig> = {
  name: 'monitoring',
  config: monitoringConfig,
  module: MonitoringModule,
  migrations: monitoringTables,
  consumers: ({ get }) => [
    {
      name: 'monitoring-log',
      sources: services,
      // What auth chains is for whoever may read the audit log, and for no event list.
      except: auditEventNames,
      handleAll: async (tx, events) => {
        await logEvents(tx, events);
        await keepScopes(tx, events);
        const tasks = events.filter(({ noun }) => noun === 'task').map(({ data }) => taskData.parse(data));
        await keepTasks(tx, tasks);
        for (const { noun, data } of events) if (noun === 'drift') await keepFinding(tx, driftData.parse(data).finding);
        for (const { name, objectId } of events) if (name === userDeleted.name) await removeWebhooksOf(tx, objectId);
        afterCommit(tx, () => { for (const news of [logNews, ...tasks.map(({ task }) => task.id)]) get(TaskWaiters).wake(news); });
      },
    },
  ],
  reconcilers: ({ db, config, get }) => [{ name: 'webhooks', everyMs: 1_000, run: (signal) => get(WebhookSender).deliver(signal) }, retentionReconciler(db, {
    events: { days: config.TOK_KEEP_EVENTS_DAYS, most: config.TOK_KEEP_EVENTS, bytes: config.TOK_KEEP_EVENTS_BYTES },
    tasks: { days: config.TOK_KEEP_TASKS_DAYS, most: config.TOK_KEEP_TASKS },
  })],
};
