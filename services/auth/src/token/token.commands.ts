// API tokens of the acting user. The secret is shown once and kept nowhere: it follows from the token's id and the
// master key, so that a repeated request is answered the same without a record of the secret.
import { Inject, Injectable } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import type { BusContext } from '#bus';
import { createApiToken, NotFound, revokeApiToken, Unauthenticated, userChanged } from '#contracts';
import type { Actor, InputOf, listApiTokens, ReplyOf } from '#contracts';
import { FaultError, newUuid, ok } from '#kernel';
import type { Result } from '#kernel';
import { Db } from '#service';
import { emit, runCommand } from '#tasks';
import { derive } from '../keys/seal.ts';
import type { MasterKey } from '../keys/seal.ts';
import { hashOf } from '../session/session.store.ts';
import { Master } from '../tokens.ts';
import { writeApiToken } from './api-token.ts';
import { findApiToken, insertApiToken, pageOfApiTokens, removeApiToken } from './token.store.ts';

function actorOf({ actor }: BusContext): Actor {
  if (actor === null) throw new FaultError(Unauthenticated.fault('API tokens belong to users; sign in first.'));
  return actor;
}

@Injectable()
export class TokenCommands {
  constructor(@Inject(Db) private readonly db: DataSource, @Inject(Master) private readonly master: MasterKey) {}

  async create(input: InputOf<typeof createApiToken>, ctx: BusContext): Promise<Result<ReplyOf<typeof createApiToken>>> {
    const { userId } = actorOf(ctx);
    // What is recorded for a repetition has no secret in it.
    const made = await runCommand(this.db, { ctx, operation: createApiToken, input }, async (tx) => {
      const id = newUuid();
      await insertApiToken(tx, { id, userId, name: input.name, hash: hashOf(this.secretOf(id)), expiresInDays: input.expiresInDays });
      const token = await findApiToken(tx, id, userId);
      if (token === undefined) throw new Error('a token vanished in the transaction that made it');
      return { token, secret: '' };
    });
    return made.ok ? ok({ token: made.value.token, secret: writeApiToken(made.value.token.id, this.secretOf(made.value.token.id)) }) : made;
  }

  async list(input: InputOf<typeof listApiTokens>, ctx: BusContext): Promise<Result<ReplyOf<typeof listApiTokens>>> {
    const page = await pageOfApiTokens(this.db, { userId: actorOf(ctx).userId, input });
    return page.ok ? ok({ items: page.value.rows, next: page.value.next }) : page;
  }

  revoke(input: InputOf<typeof revokeApiToken>, ctx: BusContext): Promise<Result<ReplyOf<typeof revokeApiToken>>> {
    const { userId } = actorOf(ctx);
    return runCommand(this.db, { ctx, operation: revokeApiToken, input }, async (tx) => {
      if ((await removeApiToken(tx, input.tokenId, userId)) === 0) return NotFound.fail('You have no API token with this id.', { noun: 'token', id: input.tokenId });
      await emit(tx, userChanged, { objectId: userId, data: { userId, what: 'token-revoked' }, ctx });
      return {};
    });
  }

  private secretOf(id: string): string {
    return derive(this.master, 'api-token', id);
  }
}
