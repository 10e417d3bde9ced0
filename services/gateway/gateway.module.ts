// The providers of the gateway: what all its doors share, the dead letters, and the feeds of users.
import { Module } from '@nestjs/common';
import type { NatsConnection } from '@nats-io/transport-node';
import type { DataSource } from 'typeorm';
import type { BusClient } from '#bus';
import type { GatewayConfig } from '#config';
import { systemClock } from '#kernel';
import { Bus, Config, Db, Log, Nats } from '#service';
import type { Logger } from '#telemetry';
import { Callers } from './src/caller/callers.client.ts';
import { DeadLetterCommands } from './src/command/dead-letter.commands.ts';
import { DeadLetterHandlers } from './src/command/dead-letter.handlers.ts';
import { UserCommands } from './src/command/user-commands.client.ts';
import { EventTail } from './src/events/event-tail.client.ts';
import { FeedCommands } from './src/feed/feed.commands.ts';
import { FeedHandlers } from './src/feed/feed.handlers.ts';
import { Feeds } from './src/feed/feeds.door.ts';
import { SharedGates } from './src/rest/admission.ts';
import { RateLimit } from './src/rest/rate-limit.ts';

function gatesOf({ TOK_HTTP_REQUESTS_PER_SECOND: perSecond, TOK_HTTP_SIGN_INS_PER_SECOND: signIns }: GatewayConfig, callers: Callers): SharedGates {
  const limit = (rate: number, burst: number): RateLimit => new RateLimit(rate, burst, systemClock);
  return { callers, byAddress: limit(perSecond, perSecond * 5), byUser: limit(perSecond, perSecond * 5), strangers: limit(signIns, signIns * 10) };
}

@Module({
  controllers: [DeadLetterHandlers, FeedHandlers],
  providers: [
    { provide: Callers, inject: [Bus], useFactory: (bus: BusClient) => new Callers(bus, systemClock) },
    { provide: SharedGates, inject: [Config, Callers], useFactory: gatesOf },
    { provide: UserCommands, inject: [Bus, SharedGates], useFactory: (bus: BusClient, gates: SharedGates) => new UserCommands(bus, { ...gates, closing: () => false }) },
    DeadLetterCommands,
    FeedCommands,
    { provide: EventTail, inject: [Bus], useFactory: (bus: BusClient) => new EventTail(bus) },
    {
      provide: Feeds, inject: [Db, Nats, Bus, EventTail, SharedGates, Log],
      useFactory: (db: DataSource, nats: NatsConnection, bus: BusClient, tail: EventTail, gates: SharedGates, log: Logger) => new Feeds({ db, nats, bus, tail, gates, log }),
    },
  ],
})
export class GatewayModule {}
