// The bus face of subnets: one call each.
import { Controller, Inject } from '@nestjs/common';
import { Handles } from '#bus';
import type { BusContext } from '#bus';
import { createSubnet, deleteSubnet, getSubnet, listSubnets } from '#contracts';
import type { InputOf } from '#contracts';
import { SubnetService } from './subnet.service.ts';

@Controller()
export class SubnetHandlers {
  constructor(@Inject(SubnetService) private readonly subnets: SubnetService) {}

  @Handles(createSubnet)
  create(input: InputOf<typeof createSubnet>, ctx: BusContext) { return this.subnets.create(input, ctx); }

  @Handles(listSubnets)
  list(input: InputOf<typeof listSubnets>, ctx: BusContext) { return this.subnets.list(input, ctx); }

  @Handles(getSubnet)
  get(input: InputOf<typeof getSubnet>, ctx: BusContext) { return this.subnets.get(input.subnetId, ctx); }

  @Handles(deleteSubnet)
  delete(input: InputOf<typeof deleteSubnet>, ctx: BusContext) { return this.subnets.delete(input, ctx); }
}
