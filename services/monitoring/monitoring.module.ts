// What monitoring consists of.
import { Module } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import type { BusClient } from '#bus';
import { Bus, Db } from '#service';
import { DriftHandlers } from './src/drift/drift.handlers.ts';
import { DriftReader } from './src/drift/drift.reader.ts';
import { EventHandlers } from './src/event/event.handlers.ts';
import { EventReader } from './src/event/event.reader.ts';
import { HistoryHandlers } from './src/history/history.handlers.ts';
import { TaskHandlers } from './src/task/task.handlers.ts';
import { TaskReader } from './src/task/task.reader.ts';
import { TaskWaiters } from './src/task/task.waiters.ts';

@Module({
  controllers: [EventHandlers, TaskHandlers, HistoryHandlers, DriftHandlers],
  providers: [
    { provide: TaskWaiters, useFactory: () => new TaskWaiters() },
    { provide: EventReader, inject: [Db, TaskWaiters], useFactory: (db: DataSource, waiters: TaskWaiters) => new EventReader(db, waiters) },
    { provide: DriftReader, inject: [Db, Bus], useFactory: (db: DataSource, bus: BusClient) => new DriftReader(db, bus) },
    { provide: TaskReader, inject: [Db, Bus, TaskWaiters], useFactory: (db: DataSource, bus: BusClient, waiters: TaskWaiters) => new TaskReader(db, bus, waiters) },
  ],
})
export class MonitoringModule {}
