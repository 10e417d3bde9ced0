// Answers about sessions: sign in, refresh, leave, and who a bearer is.
import { Controller, Inject } from '@nestjs/common';
import { Handles } from '#bus';
import type { BusContext } from '#bus';
import { login, logout, refreshSession, resolveBearer, resolveHolder, whoAmI } from '#contracts';
import type { Actor, InputOf, ReplyOf } from '#contracts';
import type { Result } from '#kernel';
import { ResolveCommands } from './resolve.commands.ts';
import { SessionCommands } from './session.commands.ts';

@Controller()
export class SessionHandlers {
  constructor(@Inject(SessionCommands) private readonly sessions: SessionCommands, @Inject(ResolveCommands) private readonly callers: ResolveCommands) {}

  @Handles(login)
  login(input: InputOf<typeof login>, ctx: BusContext): Promise<Result<ReplyOf<typeof login>>> {
    return this.sessions.login(input, ctx);
  }

  @Handles(refreshSession)
  refresh(input: InputOf<typeof refreshSession>, ctx: BusContext): Promise<Result<ReplyOf<typeof refreshSession>>> {
    return this.sessions.refresh(input, ctx);
  }

  @Handles(logout)
  logout(input: InputOf<typeof logout>, ctx: BusContext): Promise<ReplyOf<typeof logout>> {
    return this.sessions.logout(input, ctx);
  }

  @Handles(resolveBearer)
  resolve({ bearer }: InputOf<typeof resolveBearer>): Promise<Result<ReplyOf<typeof resolveBearer>>> {
    return this.callers.resolve(bearer);
  }

  @Handles(resolveHolder)
  resolveHolder({ holder }: InputOf<typeof resolveHolder>): Promise<Result<ReplyOf<typeof resolveHolder>>> {
    return this.callers.resolveHolder(holder);
  }

  @Handles(whoAmI)
  whoAmI(_input: InputOf<typeof whoAmI>, ctx: BusContext): Promise<Result<Actor>> {
    return this.callers.whoAmI(ctx);
  }
}
