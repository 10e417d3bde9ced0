// Network as a table: its module, schema, tasks, the events it follows, and what it keeps right by itself.
import type { serviceConfig } from '#config';
import type { TaskService } from '#service';
import { networkMigrations } from './migrations/0001-network.ts';
import { NetworkModule } from './network.module.ts';
import { addressDrift } from './src/drift/address.drift.ts';
import { switchDrift } from './src/drift/switch.drift.ts';
import { hostConsumer } from './src/host/host.consumer.ts';
import { hostReconciler } from './src/host/host.reconciler.ts';
import { SwitchApplier } from './src/switch/switch.applier.ts';
import { switchReconciler } from './src/switch/switch.reconciler.ts';
import { SwitchService } from './src/switch/switch.service.ts';
import { SwitchTasks } from './src/switch/switch.tasks.ts';

export const networkService: TaskService<typeof serviceConfig> = {
  name: 'network',
  module: NetworkModule,
  migrations: networkMigrations,
  tasks: (parts) => parts.get(SwitchTasks).all(),
  consumers: () => [hostConsumer],
  drift: (parts) => [switchDrift(parts.db, parts.bus, parts.get(SwitchApplier)), addressDrift(parts.db, parts.bus)],
  reconcilers: (parts) => [hostReconciler(parts.db, parts.bus), switchReconciler(parts.db, parts.get(SwitchService))],
};
