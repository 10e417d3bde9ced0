// `<service>.drift.get|repair|dismiss|release`: what monitoring asks the owner of a finding.
import { Controller } from '@nestjs/common';
import type { Type } from '@nestjs/common';
import { Handles } from '#bus';
import type { BusContext } from '#bus';
import type { InputOf } from '#contracts';
import type { DriftCommands } from './drift.commands.ts';

export function driftController(commands: DriftCommands): Type {
  const { get, repair, dismiss, release } = commands.operations;

  @Controller()
  class DriftController {
    @Handles(get)
    get(input: InputOf<typeof get>) {
      return commands.get(input);
    }

    @Handles(repair)
    repair(input: InputOf<typeof repair>, ctx: BusContext) {
      return commands.repair(input, ctx);
    }

    @Handles(dismiss)
    dismiss(input: InputOf<typeof dismiss>, ctx: BusContext) {
      return commands.dismiss(input, ctx);
    }

    @Handles(release)
    release(input: InputOf<typeof release>, ctx: BusContext) {
      return commands.release(input, ctx);
    }
  }
  return DriftController;
}
