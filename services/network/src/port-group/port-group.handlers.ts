// The bus face of port groups: one call each.
import { Controller, Inject } from '@nestjs/common';
import { Handles } from '#bus';
import type { BusContext } from '#bus';
import { checkPortGroups, createPortGroup, deletePortGroup, getPortGroup, listPortGroups, updatePortGroup } from '#contracts';
import type { InputOf } from '#contracts';
import { PortGroupService } from './port-group.service.ts';

@Controller()
export class PortGroupHandlers {
  constructor(@Inject(PortGroupService) private readonly groups: PortGroupService) {}

  @Handles(createPortGroup)
  create(input: InputOf<typeof createPortGroup>, ctx: BusContext) { return this.groups.create(input, ctx); }

  @Handles(updatePortGroup)
  update(input: InputOf<typeof updatePortGroup>, ctx: BusContext) { return this.groups.update(input, ctx); }

  @Handles(listPortGroups)
  list(input: InputOf<typeof listPortGroups>, ctx: BusContext) { return this.groups.list(input, ctx); }

  @Handles(getPortGroup)
  get(input: InputOf<typeof getPortGroup>, ctx: BusContext) { return this.groups.get(input.portGroupId, ctx); }

  @Handles(deletePortGroup)
  delete(input: InputOf<typeof deletePortGroup>, ctx: BusContext) { return this.groups.delete(input, ctx); }

  @Handles(checkPortGroups)
  check(input: InputOf<typeof checkPortGroups>) { return this.groups.check(input); }
}
