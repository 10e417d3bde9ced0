// Monitoring as a table: its module, schema, the events of all services that it takes in, and what it keeps at its size.
import { auditEventNames, services, taskChanged } from '#contracts';
import { afterCommit } from '#database';
import type { databaseServiceConfig } from '#config';
import type { DatabaseService } from '#service';
import { monitoringMigrations } from './migrations/0001-tables.ts';
import { MonitoringModule } from './monitoring.module.ts';
import { logNews } from './src/event/event.reader.ts';
import { logEvent } from './src/event/event.store.ts';
import { retentionReconciler } from './src/event/retention.reconciler.ts';
import { keepTask } from './src/task/task.store.ts';
import { TaskWaiters } from './src/task/task.waiters.ts';

const taskData = taskChanged('compute').data;

export const monitoringService: DatabaseService<typeof databaseServiceConfig> = {
  name: 'monitoring',
  module: MonitoringModule,
  migrations: monitoringMigrations,
  consumers: ({ get }) => [
    {
      name: 'monitoring-log',
      sources: services,
      // What auth chains is for whoever may read the audit log, and for no event list.
      except: auditEventNames,
      handle: async (tx, event) => {
        await logEvent(tx, event);
        afterCommit(tx, () => { get(TaskWaiters).wake(logNews); });
        if (event.noun !== 'task') return;
        const { task, ownerId } = taskData.parse(event.data);
        if (await keepTask(tx, task, ownerId)) afterCommit(tx, () => { get(TaskWaiters).wake(task.id); });
      },
    },
  ],
  reconcilers: ({ db }) => [retentionReconciler(db)],
};
