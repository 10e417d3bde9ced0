// Answers about dead letters.
import { Controller, Inject } from '@nestjs/common';
import { Handles } from '#bus';
import type { BusContext } from '#bus';
import { deleteDeadLetter, getDeadLetter, listDeadLetters, retryDeadLetter } from '#contracts';
import type { InputOf, ReplyOf } from '#contracts';
import type { Result } from '#kernel';
import { DeadLetterCommands } from './dead-letter.commands.ts';

@Controller()
export class DeadLetterHandlers {
  constructor(@Inject(DeadLetterCommands) private readonly letters: DeadLetterCommands) {}

  @Handles(listDeadLetters)
  list(input: InputOf<typeof listDeadLetters>, ctx: BusContext): Promise<Result<ReplyOf<typeof listDeadLetters>>> {
    return this.letters.list(input, ctx);
  }

  @Handles(getDeadLetter)
  get(input: InputOf<typeof getDeadLetter>, ctx: BusContext): Promise<Result<ReplyOf<typeof getDeadLetter>>> {
    return this.letters.get(input, ctx);
  }

  @Handles(retryDeadLetter)
  retry(input: InputOf<typeof retryDeadLetter>, ctx: BusContext): Promise<Result<ReplyOf<typeof retryDeadLetter>>> {
    return this.letters.retry(input, ctx);
  }

  @Handles(deleteDeadLetter)
  delete(input: InputOf<typeof deleteDeadLetter>, ctx: BusContext): Promise<Result<ReplyOf<typeof deleteDeadLetter>>> {
    return this.letters.delete(input, ctx);
  }
}
