// The operations of VMs on the bus.
import { Controller, Inject } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { Handles, type BusContext } from '#bus';
import {
  createVm, deleteVm, getVm, hibernateVm, listVms, pauseVm, powerOffVm, purgeVm, rebootVm, resetVm, restoreVm, resumeVm, standingVms, startVm, stopVm, updateVm, type InputOf,
} from '#contracts';
import { whoOf } from '#database';
import { Db } from '#service';
import { VmCommands } from './vm.commands.ts';
import { vmsStanding } from './standing.store.ts';
import { pageOfVms } from './vm-list.store.ts';

@Controller()
export class VmHandlers {
  constructor(@Inject(VmCommands) private readonly vms: VmCommands, @Inject(Db) private readonly db: DataSource) {}

  @Handles(createVm) create(input: InputOf<typeof createVm>, ctx: BusContext) { return this.vms.create(input, ctx); }
  @Handles(startVm) start(input: InputOf<typeof startVm>, ctx: BusContext) { return this.vms.start(input, ctx); }
  @Handles(stopVm) stop(input: InputOf<typeof stopVm>, ctx: BusContext) { return this.vms.stop(input, ctx); }
  @Handles(powerOffVm) powerOff(input: InputOf<typeof powerOffVm>, ctx: BusContext) { return this.vms.powerOff(input, ctx); }
  @Handles(rebootVm) reboot(input: InputOf<typeof rebootVm>, ctx: BusContext) { return this.vms.reboot(input, ctx); }
  @Handles(pauseVm) pause(input: InputOf<typeof pauseVm>, ctx: BusContext) { return this.vms.pause(input, ctx); }
  @Handles(resumeVm) resume(input: InputOf<typeof resumeVm>, ctx: BusContext) { return this.vms.resume(input, ctx); }
  @Handles(resetVm) reset(input: InputOf<typeof resetVm>, ctx: BusContext) { return this.vms.reset(input, ctx); }
  @Handles(hibernateVm) hibernate(input: InputOf<typeof hibernateVm>, ctx: BusContext) { return this.vms.hibernate(input, ctx); }
  @Handles(deleteVm) delete(input: InputOf<typeof deleteVm>, ctx: BusContext) { return this.vms.delete(input, ctx); }
  @Handles(restoreVm) restore(input: InputOf<typeof restoreVm>, ctx: BusContext) { return this.vms.restore(input, ctx); }
  @Handles(purgeVm) purge(input: InputOf<typeof purgeVm>, ctx: BusContext) { return this.vms.purge(input, ctx); }
  @Handles(updateVm) update(input: InputOf<typeof updateVm>, ctx: BusContext) { return this.vms.update(input, ctx); }
  @Handles(getVm) get(input: InputOf<typeof getVm>, ctx: BusContext) { return this.vms.get(input.vmId, ctx); }
  @Handles(standingVms) standing(input: InputOf<typeof standingVms>) { return vmsStanding(this.db, input); }
  @Handles(listVms) list(input: InputOf<typeof listVms>, ctx: BusContext) { return pageOfVms(this.db, whoOf(ctx), input); }
}
