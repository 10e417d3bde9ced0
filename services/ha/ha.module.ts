// What ha consists of.
import { Module } from '@nestjs/common';
import type { NatsConnection } from '@nats-io/transport-node';
import type { DataSource } from 'typeorm';
import { Db, Log, Nats } from '#service';
import type { Logger } from '#telemetry';
import { LivenessHandlers } from './src/liveness/liveness.handlers.ts';
import { LivenessWatch } from './src/liveness/liveness.watch.ts';

@Module({
  controllers: [LivenessHandlers],
  providers: [{ provide: LivenessWatch, inject: [Db, Nats, Log], useFactory: (db: DataSource, nats: NatsConnection, log: Logger) => new LivenessWatch(db, nats, log) }],
})
export class HaModule {}
