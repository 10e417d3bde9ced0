// Answers about users.
import { Controller, Inject } from '@nestjs/common';
import { Handles } from '#bus';
import type { BusContext } from '#bus';
import { createUser, deleteUser, getUser, listUsers, setPassword, updateUser } from '#contracts';
import type { InputOf, ReplyOf } from '#contracts';
import type { Result } from '#kernel';
import { UserCommands } from './user.commands.ts';

@Controller()
export class UserHandlers {
  constructor(@Inject(UserCommands) private readonly users: UserCommands) {}

  @Handles(createUser)
  create(input: InputOf<typeof createUser>, ctx: BusContext): Promise<Result<ReplyOf<typeof createUser>>> {
    return this.users.create(input, ctx);
  }

  @Handles(getUser)
  get(input: InputOf<typeof getUser>, ctx: BusContext): Promise<Result<ReplyOf<typeof getUser>>> {
    return this.users.get(input, ctx);
  }

  @Handles(listUsers)
  list(input: InputOf<typeof listUsers>, ctx: BusContext): Promise<Result<ReplyOf<typeof listUsers>>> {
    return this.users.list(input, ctx);
  }

  @Handles(updateUser)
  update(input: InputOf<typeof updateUser>, ctx: BusContext): Promise<Result<ReplyOf<typeof updateUser>>> {
    return this.users.update(input, ctx);
  }

  @Handles(deleteUser)
  delete(input: InputOf<typeof deleteUser>, ctx: BusContext): Promise<Result<ReplyOf<typeof deleteUser>>> {
    return this.users.delete(input, ctx);
  }

  @Handles(setPassword)
  setPassword(input: InputOf<typeof setPassword>, ctx: BusContext): Promise<Result<ReplyOf<typeof setPassword>>> {
    return this.users.setPassword(input, ctx);
  }
}
