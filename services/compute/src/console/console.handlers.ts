// Consoles on the bus: one call each.
import { Controller, Inject } from '@nestjs/common';
import { Handles, type BusContext } from '#bus';
import { checkConsole, createConsoleTicket, openConsole, type InputOf } from '#contracts';
import { ConsoleCommands } from './console.commands.ts';

@Controller()
export class ConsoleHandlers {
  constructor(@Inject(ConsoleCommands) private readonly consoles: ConsoleCommands) {}

  @Handles(createConsoleTicket) createTicket(input: InputOf<typeof createConsoleTicket>, ctx: BusContext) { return this.consoles.createTicket(input, ctx); }
  @Handles(openConsole) open(input: InputOf<typeof openConsole>, ctx: BusContext) { return this.consoles.open(input, ctx); }
  @Handles(checkConsole) check(input: InputOf<typeof checkConsole>, ctx: BusContext) { return this.consoles.check(input, ctx); }
}
