// What compute consists of.
import { Module } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import type { BusClient } from '#bus';
import type { ComputeConfig } from '#config';
import { Bus, Config, Db, Log, Tasks } from '#service';
import type { TaskEngine } from '#tasks';
import type { Logger } from '#telemetry';
import { ClusterHandlers } from './src/cluster/cluster.handlers.ts';
import { ConsoleCommands } from './src/console/console.commands.ts';
import { ConsoleHandlers } from './src/console/console.handlers.ts';
import { FolderCommands } from './src/folder/folder.commands.ts';
import { FolderHandlers } from './src/folder/folder.handlers.ts';
import { HostHandlers } from './src/host/host.handlers.ts';
import { HostReports } from './src/host/host.reports.ts';
import { HardwareCommands } from './src/vm/hardware.commands.ts';
import { HardwareHandlers } from './src/vm/hardware.handlers.ts';
import { VmCommands } from './src/vm/vm.commands.ts';
import { VmHandlers } from './src/vm/vm.handlers.ts';

@Module({
  controllers: [ClusterHandlers, HostHandlers, FolderHandlers, VmHandlers, HardwareHandlers, ConsoleHandlers],
  providers: [
    FolderCommands,
    {
      provide: VmCommands,
      inject: [Db, Bus, Tasks, Config],
      useFactory: (db: DataSource, bus: BusClient, tasks: TaskEngine, config: ComputeConfig) => new VmCommands(db, bus, tasks, config.TOK_VM_UID_RANGE),
    },
    {
      provide: HardwareCommands,
      inject: [Db, Bus, Tasks],
      useFactory: (db: DataSource, bus: BusClient, tasks: TaskEngine) => new HardwareCommands(db, bus, tasks),
    },
    { provide: ConsoleCommands, inject: [Db, Bus], useFactory: (db: DataSource, bus: BusClient) => new ConsoleCommands(db, bus) },
    {
      provide: HostReports,
      inject: [Db, Bus, Config, Log],
      useFactory: (db: DataSource, bus: BusClient, config: ComputeConfig, log: Logger) => new HostReports(db, bus, config.TOK_VM_UID_RANGE, log),
    },
  ],
})
export class ComputeModule {}
