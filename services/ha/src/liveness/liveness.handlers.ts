// The operations of liveness on the bus, and the heartbeats.
import { Controller, Inject } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { Handles, OnHeartbeat, type BusContext, type ReportContext } from '#bus';
import { getLiveness, listLiveness, type InputOf } from '#contracts';
import { allowed, whoOf } from '#database';
import { ok } from '#kernel';
import { Db } from '#service';
import { findLiveness, pageOfLiveness } from './liveness.store.ts';
import { LivenessWatch } from './liveness.watch.ts';

@Controller()
export class LivenessHandlers {
  constructor(@Inject(Db) private readonly db: DataSource, @Inject(LivenessWatch) private readonly watch: LivenessWatch) {}

  @Handles(listLiveness) list(input: InputOf<typeof listLiveness>, ctx: BusContext) { return pageOfLiveness(this.db, whoOf(ctx), input); }

  @Handles(getLiveness) async get(input: InputOf<typeof getLiveness>, ctx: BusContext) {
    const found = await findLiveness(this.db, input.hostId);
    const seen = allowed(whoOf(ctx), 'host.read', found && { ...found, id: found.hostId }, { noun: 'host', id: input.hostId, read: 'host.read' });
    if (!seen.ok) return seen;
    const { id: _id, clusterId: _cluster, ...liveness } = seen.value;
    return ok(liveness);
  }

  @OnHeartbeat() heartbeat(_body: unknown, ctx: ReportContext): void { this.watch.heard(ctx.hostId); }
}
