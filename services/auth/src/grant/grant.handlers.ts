// Answers about grants.
import { Controller, Inject } from '@nestjs/common';
import { Handles } from '#bus';
import type { BusContext } from '#bus';
import { createGrant, deleteGrant, listGrants } from '#contracts';
import type { InputOf, ReplyOf } from '#contracts';
import type { Result } from '#kernel';
import { GrantCommands } from './grant.commands.ts';

@Controller()
export class GrantHandlers {
  constructor(@Inject(GrantCommands) private readonly grants: GrantCommands) {}

  @Handles(createGrant)
  create(input: InputOf<typeof createGrant>, ctx: BusContext): Promise<Result<ReplyOf<typeof createGrant>>> {
    return this.grants.create(input, ctx);
  }

  @Handles(listGrants)
  list(input: InputOf<typeof listGrants>, ctx: BusContext): Promise<Result<ReplyOf<typeof listGrants>>> {
    return this.grants.list(input, ctx);
  }

  @Handles(deleteGrant)
  delete(input: InputOf<typeof deleteGrant>, ctx: BusContext): Promise<Result<ReplyOf<typeof deleteGrant>>> {
    return this.grants.delete(input, ctx);
  }
}
