// The providers of the gateway. It keeps nothing, so there is only what asks others.
import { Module } from '@nestjs/common';
import type { BusClient } from '#bus';
import { systemClock } from '#kernel';
import { Bus } from '#service';
import { Callers } from './src/caller/callers.client.ts';

@Module({ providers: [{ provide: Callers, inject: [Bus], useFactory: (bus: BusClient) => new Callers(bus, systemClock) }] })
export class GatewayModule {}
