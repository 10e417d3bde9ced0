// `<service>.drift.get|repair|dismiss|release`: what monitoring asks the owner of a finding.
import { Controller } from '@nestjs/common';
import type { Type } from '@nestjs/common';
import { Handles } from '#bus';
import type { BusContext } from '#bus';
import type { InputOf } from '#contracts';
import type { DriftKeeper } from './drift.keeper.ts';

export function driftController(keeper: DriftKeeper): Type {
  const { get, repair, dismiss, release } = keeper.operations;

  @Controller()
  class DriftController {
    @Handles(get)
    get(input: InputOf<typeof get>) {
      return keeper.get(input.findingId);
    }

    @Handles(repair)
    repair(input: InputOf<typeof repair>, ctx: BusContext) {
      return keeper.repairByHand(input, ctx);
    }

    @Handles(dismiss)
    dismiss(input: InputOf<typeof dismiss>, ctx: BusContext) {
      return keeper.dismiss(input, ctx);
    }

    @Handles(release)
    release(input: InputOf<typeof release>, ctx: BusContext) {
      return keeper.release(input, ctx);
    }
  }
  return DriftController;
}
