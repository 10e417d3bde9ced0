// Storage as a table: its module, schema, tasks, the events it follows, and what it keeps right by itself.
import type { serviceConfig } from '#config';
import type { TaskService } from '#service';
import { storageMigrations } from './migrations/0001-storage.ts';
import { storageWordMigrations } from './migrations/0007-volume-words.ts';
import { datastoreReconciler } from './src/datastore/datastore.reconciler.ts';
import { DatastoreHosts } from './src/datastore/datastore.hosts.ts';
import { fileDrift } from './src/drift/file.drift.ts';
import { DatastoreService } from './src/datastore/datastore.service.ts';
import { hostConsumer } from './src/host/host.consumer.ts';
import { hostReconciler } from './src/host/host.reconciler.ts';
import { uploadReconciler } from './src/upload/upload.reconciler.ts';
import { UploadService } from './src/upload/upload.service.ts';
import { allocationReconciler } from './src/volume/allocation.reconciler.ts';
import { volumeReconciler } from './src/volume/volume.reconciler.ts';
import { VolumeTasks } from './src/volume/volume.tasks.ts';
import { StorageModule } from './storage.module.ts';

export const storageService: TaskService<typeof serviceConfig> = {
  name: 'storage',
  module: StorageModule,
  migrations: [...storageMigrations, ...storageWordMigrations],
  tasks: (parts) => parts.get(VolumeTasks).all(),
  consumers: (parts) => [hostConsumer(parts.get(DatastoreService))],
  drift: (parts) => [fileDrift(parts.db, parts.bus, parts.get(DatastoreHosts))],
  reconcilers: (parts) => [
    hostReconciler(parts.db, parts.bus, parts.get(DatastoreService)),
    datastoreReconciler(parts.get(DatastoreService)),
    volumeReconciler(parts.db, parts.tasks, parts.get(VolumeTasks), parts.log),
    allocationReconciler(parts.db, parts.bus, parts.get(DatastoreHosts), parts.log),
    uploadReconciler(parts.db, parts.get(UploadService), parts.log),
  ],
};
