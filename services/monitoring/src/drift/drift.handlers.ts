// The operations of findings on the bus.
import { Controller, Inject } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { Handles, type BusContext } from '#bus';
import { dismissDrift, getDrift, listDrift, releaseDrift, repairDrift, type InputOf } from '#contracts';
import { whoOf } from '#database';
import { Db } from '#service';
import { DriftReader } from './drift.reader.ts';
import { pageOfFindings } from './drift.store.ts';

@Controller()
export class DriftHandlers {
  constructor(@Inject(Db) private readonly db: DataSource, @Inject(DriftReader) private readonly findings: DriftReader) {}

  @Handles(listDrift) list(input: InputOf<typeof listDrift>, ctx: BusContext) { return pageOfFindings(this.db, whoOf(ctx), input); }
  @Handles(getDrift) get(input: InputOf<typeof getDrift>, ctx: BusContext) { return this.findings.get(input, ctx); }
  @Handles(repairDrift) repair(input: InputOf<typeof repairDrift>, ctx: BusContext) { return this.findings.pass('repair', input, ctx); }
  @Handles(dismissDrift) dismiss(input: InputOf<typeof dismissDrift>, ctx: BusContext) { return this.findings.pass('dismiss', input, ctx); }
  @Handles(releaseDrift) release(input: InputOf<typeof releaseDrift>, ctx: BusContext) { return this.findings.pass('release', input, ctx); }
}
