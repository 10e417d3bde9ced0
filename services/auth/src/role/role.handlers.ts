// Answers about roles.
import { Controller, Inject } from '@nestjs/common';
import { Handles } from '#bus';
import type { BusContext } from '#bus';
import { createRole, deleteRole, getRole, listRoles, updateRole } from '#contracts';
import type { InputOf, ReplyOf } from '#contracts';
import type { Result } from '#kernel';
import { RoleCommands } from './role.commands.ts';

@Controller()
export class RoleHandlers {
  constructor(@Inject(RoleCommands) private readonly roles: RoleCommands) {}

  @Handles(createRole)
  create(input: InputOf<typeof createRole>, ctx: BusContext): Promise<Result<ReplyOf<typeof createRole>>> {
    return this.roles.create(input, ctx);
  }

  @Handles(getRole)
  get(input: InputOf<typeof getRole>, ctx: BusContext): Promise<Result<ReplyOf<typeof getRole>>> {
    return this.roles.get(input, ctx);
  }

  @Handles(listRoles)
  list(input: InputOf<typeof listRoles>, ctx: BusContext): Promise<Result<ReplyOf<typeof listRoles>>> {
    return this.roles.list(input, ctx);
  }

  @Handles(updateRole)
  update(input: InputOf<typeof updateRole>, ctx: BusContext): Promise<Result<ReplyOf<typeof updateRole>>> {
    return this.roles.update(input, ctx);
  }

  @Handles(deleteRole)
  delete(input: InputOf<typeof deleteRole>, ctx: BusContext): Promise<Result<ReplyOf<typeof deleteRole>>> {
    return this.roles.delete(input, ctx);
  }
}
