// Dead letters: looked at, carried out after all, forgotten. A user has his own; whoever may read, or write, users on the
// whole site has all.
import { Inject, Injectable } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import type { BusContext } from '#bus';
import { deleteDeadLetter, mayAccess, NotFound, retryDeadLetter, Unauthenticated } from '#contracts';
import type { Actor, getDeadLetter, InputOf, listDeadLetters, Permission, ReplyOf } from '#contracts';
import { transaction } from '#database';
import { ok } from '#kernel';
import type { Result } from '#kernel';
import { Db } from '#service';
import { auditMutation, runCommand } from '#tasks';
import { deleteLetter, findLetter, pageOfLetters, refuseAgain } from './dead-letter.store.ts';
import type { LetterWithBody, Sent } from './dead-letter.store.ts';
import { outcomeOf, tell } from './outcome.ts';
import { pauseAfter } from './published.ts';
import { UserCommands } from './user-commands.client.ts';
import type { Carried } from './user-commands.client.ts';

type Retried = ReplyOf<typeof retryDeadLetter>;

const has = (actor: Actor, permission: Permission): boolean => mayAccess(actor, permission, {});
const notSignedIn = Unauthenticated.fail('Dead letters belong to users; sign in first.');

@Injectable()
export class DeadLetterCommands {
  constructor(@Inject(Db) private readonly db: DataSource, @Inject(UserCommands) private readonly commands: UserCommands) {}

  async list(input: InputOf<typeof listDeadLetters>, { actor }: BusContext): Promise<Result<ReplyOf<typeof listDeadLetters>>> {
    if (actor === null) return notSignedIn;
    const page = await pageOfLetters(this.db, input, has(actor, 'user.read') ? undefined : actor.userId);
    return page.ok ? ok({ items: page.value.rows, next: page.value.next }) : page;
  }

  async get({ deadLetterId }: InputOf<typeof getDeadLetter>, { actor }: BusContext): Promise<Result<ReplyOf<typeof getDeadLetter>>> {
    const found = await this.find(deadLetterId, actor, 'user.read');
    return found.ok ? ok(found.value.letter) : found;
  }

  /**
   * Dies after the owner was asked: the letter is still there, and the owner answers the next try what it answered this one.
   */
  async retry({ deadLetterId }: InputOf<typeof retryDeadLetter>, ctx: BusContext): Promise<Result<Retried>> {
    const found = await this.find(deadLetterId, ctx.actor, 'user.write');
    if (!found.ok) return found;
    const { letter, sent } = found.value;
    const { user: handle, operation, idempotencyKey } = letter;
    const carried = await this.commands.carryOut({ handle, operation, idempotencyKey, traceparent: '', ...sent });
    // Nothing is known about it yet: to be tried again, and told so.
    if (!carried.answer.ok && pauseAfter(carried.answer.fault, 1) !== undefined) return carried.answer;
    return ok(await this.record(letter, carried, ctx));
  }

  private record(letter: LetterWithBody, carried: Carried, ctx: BusContext): Promise<Retried> {
    return transaction(this.db, async (tx): Promise<Retried> => {
      const outcome = outcomeOf(carried);
      const moved = outcome.is === 'accepted' ? await deleteLetter(tx, letter.id) : await refuseAgain(tx, letter.id, outcome.error);
      // Another retry, at the same time, may have told already.
      if (moved) {
        await tell(tx, letter, outcome, { ...carried, handle: letter.user });
        await auditMutation(tx, { ctx, operation: retryDeadLetter, input: { deadLetterId: letter.id }, reply: {} });
      }
      return outcome.is === 'accepted' ? { outcome: 'accepted', ...outcome.effect, error: null } : { outcome: 'refused', taskId: null, objectId: null, error: outcome.error };
    });
  }

  async delete(input: InputOf<typeof deleteDeadLetter>, ctx: BusContext): Promise<Result<ReplyOf<typeof deleteDeadLetter>>> {
    return runCommand(this.db, { ctx, operation: deleteDeadLetter, input }, async (tx): Promise<Result<ReplyOf<typeof deleteDeadLetter>>> => {
      const letter = await this.find(input.deadLetterId, ctx.actor, 'user.write');
      if (!letter.ok) return letter;
      await deleteLetter(tx, input.deadLetterId);
      return ok({});
    });
  }

  private async find(id: string, actor: Actor | null, ofOthers: Permission): Promise<Result<{ letter: LetterWithBody; sent: Sent }>> {
    if (actor === null) return notSignedIn;
    const found = await findLetter(this.db, id);
    const may = found !== undefined && (found.letter.userId === actor.userId || has(actor, ofOthers));
    return may ? ok(found) : NotFound.fail('There is no such dead letter of yours.', { noun: 'dead-letter', id });
  }
}
