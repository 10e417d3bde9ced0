// Answers about API tokens.
import { Controller, Inject } from '@nestjs/common';
import { Handles } from '#bus';
import type { BusContext } from '#bus';
import { createApiToken, listApiTokens, revokeApiToken } from '#contracts';
import type { InputOf, ReplyOf } from '#contracts';
import type { Result } from '#kernel';
import { TokenCommands } from './token.commands.ts';

@Controller()
export class TokenHandlers {
  constructor(@Inject(TokenCommands) private readonly tokens: TokenCommands) {}

  @Handles(createApiToken)
  create(input: InputOf<typeof createApiToken>, ctx: BusContext): Promise<Result<ReplyOf<typeof createApiToken>>> {
    return this.tokens.create(input, ctx);
  }

  @Handles(listApiTokens)
  list(input: InputOf<typeof listApiTokens>, ctx: BusContext): Promise<Result<ReplyOf<typeof listApiTokens>>> {
    return this.tokens.list(input, ctx);
  }

  @Handles(revokeApiToken)
  revoke(input: InputOf<typeof revokeApiToken>, ctx: BusContext): Promise<Result<ReplyOf<typeof revokeApiToken>>> {
    return this.tokens.revoke(input, ctx);
  }
}
