// The operations that change a VM's hardware, on the bus: one call each.
import { Controller, Inject } from '@nestjs/common';
import { Handles, type BusContext } from '#bus';
import { attachDisk, attachNic, changeNic, detachDisk, detachNic, discardPending, modifyVm, type InputOf } from '#contracts';
import { HardwareCommands } from './hardware.commands.ts';

@Controller()
export class HardwareHandlers {
  constructor(@Inject(HardwareCommands) private readonly hardware: HardwareCommands) {}

  @Handles(attachDisk) attachDisk(input: InputOf<typeof attachDisk>, ctx: BusContext) { return this.hardware.attachDisk(input, ctx); }
  @Handles(detachDisk) detachDisk(input: InputOf<typeof detachDisk>, ctx: BusContext) { return this.hardware.detachDisk(input, ctx); }
  @Handles(attachNic) attachNic(input: InputOf<typeof attachNic>, ctx: BusContext) { return this.hardware.attachNic(input, ctx); }
  @Handles(detachNic) detachNic(input: InputOf<typeof detachNic>, ctx: BusContext) { return this.hardware.detachNic(input, ctx); }
  @Handles(changeNic) changeNic(input: InputOf<typeof changeNic>, ctx: BusContext) { return this.hardware.changeNic(input, ctx); }
  @Handles(modifyVm) modify(input: InputOf<typeof modifyVm>, ctx: BusContext) { return this.hardware.modify(input, ctx); }
  @Handles(discardPending) discardPending(input: InputOf<typeof discardPending>, ctx: BusContext) { return this.hardware.discardPending(input, ctx); }
}
