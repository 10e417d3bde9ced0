// The bus face of distributed switches: one call each.
import { Controller, Inject } from '@nestjs/common';
import { Handles, OnReport } from '#bus';
import type { BusContext, ReportContext } from '#bus';
import { createSwitch, deleteSwitch, getSwitch, hostJoined, listSwitches, updateSwitch } from '#contracts';
import type { BodyOf, HostId, InputOf } from '#contracts';
import { SwitchService } from './switch.service.ts';

@Controller()
export class SwitchHandlers {
  constructor(@Inject(SwitchService) private readonly switches: SwitchService) {}

  @Handles(createSwitch)
  create(input: InputOf<typeof createSwitch>, ctx: BusContext) { return this.switches.create(input, ctx); }

  @Handles(updateSwitch)
  update(input: InputOf<typeof updateSwitch>, ctx: BusContext) { return this.switches.update(input, ctx); }

  @Handles(deleteSwitch)
  delete(input: InputOf<typeof deleteSwitch>, ctx: BusContext) { return this.switches.delete(input, ctx); }

  @Handles(listSwitches)
  list(input: InputOf<typeof listSwitches>, ctx: BusContext) { return this.switches.list(input, ctx); }

  @Handles(getSwitch)
  get(input: InputOf<typeof getSwitch>, ctx: BusContext) { return this.switches.get(input.switchId, ctx); }

  @OnReport(hostJoined)
  joined(body: BodyOf<typeof hostJoined>, ctx: ReportContext): Promise<void> { return this.switches.hostJoined(ctx.hostId as HostId, body.order); }
}
