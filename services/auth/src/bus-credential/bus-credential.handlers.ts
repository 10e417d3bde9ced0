// Answers about users' keys on the bus.
import { Controller, Inject } from '@nestjs/common';
import { Handles } from '#bus';
import type { BusContext } from '#bus';
import { createBusCredential, listBusCredentials, resolveHandle, revokeBusCredential } from '#contracts';
import type { InputOf, ReplyOf } from '#contracts';
import type { Result } from '#kernel';
import { ResolveCommands } from '../session/resolve.commands.ts';
import { BusCredentialCommands } from './bus-credential.commands.ts';

@Controller()
export class BusCredentialHandlers {
  constructor(@Inject(BusCredentialCommands) private readonly credentials: BusCredentialCommands, @Inject(ResolveCommands) private readonly callers: ResolveCommands) {}

  @Handles(createBusCredential)
  create(input: InputOf<typeof createBusCredential>, ctx: BusContext): Promise<Result<ReplyOf<typeof createBusCredential>>> {
    return this.credentials.create(input, ctx);
  }

  @Handles(listBusCredentials)
  list(input: InputOf<typeof listBusCredentials>, ctx: BusContext): Promise<Result<ReplyOf<typeof listBusCredentials>>> {
    return this.credentials.list(input, ctx);
  }

  @Handles(revokeBusCredential)
  revoke(input: InputOf<typeof revokeBusCredential>, ctx: BusContext): Promise<Result<ReplyOf<typeof revokeBusCredential>>> {
    return this.credentials.revoke(input, ctx);
  }

  @Handles(resolveHandle)
  resolve({ handle }: InputOf<typeof resolveHandle>): Promise<Result<ReplyOf<typeof resolveHandle>>> {
    return this.callers.resolveHandle(handle);
  }
}
