// The bus face of ports: one call each.
import { Controller, Inject } from '@nestjs/common';
import { Handles } from '#bus';
import type { BusContext } from '#bus';
import { discardPorts, listPorts, movePort, provisionPort, wiringOfVm } from '#contracts';
import type { InputOf } from '#contracts';
import { PortService } from './port.service.ts';

@Controller()
export class PortHandlers {
  constructor(@Inject(PortService) private readonly ports: PortService) {}

  @Handles(listPorts)
  list(input: InputOf<typeof listPorts>, ctx: BusContext) { return this.ports.list(input, ctx); }

  @Handles(provisionPort)
  provision(input: InputOf<typeof provisionPort>, ctx: BusContext) { return this.ports.provision(input, ctx); }

  @Handles(discardPorts)
  discard(input: InputOf<typeof discardPorts>, ctx: BusContext) { return this.ports.discard(input, ctx); }

  @Handles(movePort)
  move(input: InputOf<typeof movePort>, ctx: BusContext) { return this.ports.move(input, ctx); }

  @Handles(wiringOfVm)
  wiring(input: InputOf<typeof wiringOfVm>) { return this.ports.wiring(input); }
}
