// Signing in and staying signed in. A refresh token is good once: its second use ends the session for whoever holds
// tokens of it, unless it repeats the very request (same idempotency key) whose answer was lost.
import { randomBytes } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import type { DataSource, EntityManager } from 'typeorm';
import { noteRecorded } from '#bus';
import type { BusContext } from '#bus';
import { BadCredentials, login, logout, refreshSession, Unauthenticated, userChanged } from '#contracts';
import type { AuditFacts, InputOf, Operation, ReplyOf, UserId } from '#contracts';
import { transaction } from '#database';
import { newUuid, ok, systemClock } from '#kernel';
import type { Failed, Result } from '#kernel';
import { AuditDenials, Db, Log } from '#service';
import { auditMutation, emit } from '#tasks';
import type { Denials } from '#tasks';
import type { Logger } from '#telemetry';
import { KeyRing } from '../keys/key-ring.store.ts';
import { derive } from '../keys/seal.ts';
import type { MasterKey } from '../keys/seal.ts';
import { accessTokenMs, signAccess } from '../keys/tokens.ts';
import { Master } from '../tokens.ts';
import { findUser, findUserByHandle, noteLogin, rehashPassword } from '../user/user.store.ts';
import type { StoredUser } from '../user/user.store.ts';
import { fitsPassword, hashPassword, isOutdated } from '../user/password.ts';
import { countTry, takeBackTry } from './lock-out.store.ts';
import { endSession, hashOf, insertSession, isUnused, lockToken, replaceToken, sessionLifeMs } from './session.store.ts';
import type { FoundToken } from './session.store.ts';

type Session = ReplyOf<typeof login>;

const gone = Unauthenticated.fail('The refresh token is not valid; sign in again.');

@Injectable()
export class SessionCommands {
  constructor(@Inject(Db) private readonly db: DataSource, @Inject(KeyRing) private readonly ring: KeyRing, @Inject(Master) private readonly master: MasterKey, @Inject(Log) private readonly log: Logger, @Inject(AuditDenials) private readonly denials: Denials) {}

  async login({ user: account, password, address }: InputOf<typeof login>, ctx: BusContext): Promise<Result<Session>> {
    const attempt = { account, address };
    const counted = await countTry(this.db, attempt);
    const user = await findUserByHandle(this.db, account);
    if (!counted.ok) return this.denied(counted, ctx, user, address);
    const fits = await fitsPassword(password, user?.passwordHash);
    if (user === undefined || !fits || user.disabled) {
      this.log.warn({ address, known: user !== undefined }, 'a sign-in failed');
      return this.denied(BadCredentials.fail('User or password is wrong.'), ctx, user, address);
    }
    await takeBackTry(this.db, attempt);
    if (isOutdated(user.passwordHash)) await rehashPassword(this.db, user.id, user.passwordHash, await hashPassword(password));
    const sessionId = newUuid();
    const refreshToken = randomBytes(32).toString('base64url');
    await transaction(this.db, async (tx) => {
      await insertSession(tx, sessionId, user.id, hashOf(refreshToken));
      await noteLogin(tx, user.id);
      await audit(tx, login, user, ctx, address);
    });
    return ok(await this.sessionOf(user, sessionId, refreshToken));
  }

  /** The account is named where there is one; else it may be a password that somebody typed into the wrong field. */
  private async denied(failure: Failed, ctx: BusContext, user: StoredUser | undefined, address: string | undefined): Promise<Failed> {
    const { traceId, door = 'service', idempotencyKey } = ctx;
    await this.denials.note({
      operation: login.name, fault: noteRecorded(failure.fault), caller: { actor: null, caller: null }, input: {}, door, traceId, idempotencyKey,
      ...(user === undefined ? {} : { claimed: user.handle }), ...(address === undefined ? {} : { address }),
    });
    return failure;
  }

  async refresh({ refreshToken }: InputOf<typeof refreshSession>, ctx: BusContext): Promise<Result<Session>> {
    const next = this.successor(refreshToken, ctx.idempotencyKey);
    const outcome = await transaction(this.db, (tx) => this.exchange(tx, hashOf(refreshToken), hashOf(next), ctx));
    return outcome === undefined ? gone : ok(await this.sessionOf(outcome.user, outcome.sessionId, next));
  }

  /** With a key the next token follows from the old one and the key, so that nothing secret has to be kept for a repetition. */
  private successor(refreshToken: string, idempotencyKey: string | null): string {
    return idempotencyKey === null ? randomBytes(32).toString('base64url') : derive(this.master, 'refresh-token', `${hashOf(refreshToken)}\n${idempotencyKey}`);
  }

  private async exchange(tx: EntityManager, hash: string, nextHash: string, ctx: BusContext): Promise<{ user: StoredUser; sessionId: string } | undefined> {
    const found = await lockToken(tx, hash);
    if (found === undefined || !found.live) return undefined;
    const user = await findUser(tx, found.userId);
    if (user === undefined || user.disabled) return undefined;
    if (!found.used) {
      await replaceToken(tx, found, nextHash);
      await audit(tx, refreshSession, user, ctx);
      return { user, sessionId: found.sessionId };
    }
    // The same request again: its answer was lost, and nobody has used what it gave.
    if (found.nextHash === nextHash && (await isUnused(tx, nextHash))) return { user, sessionId: found.sessionId };
    await this.end(tx, found, 'token-reused', ctx);
    this.log.warn({ userId: found.userId, sessionId: found.sessionId }, 'a refresh token was used twice; the session has ended');
    return undefined;
  }

  async logout({ refreshToken }: InputOf<typeof logout>, ctx: BusContext): Promise<ReplyOf<typeof logout>> {
    await transaction(this.db, async (tx) => {
      const found = await lockToken(tx, hashOf(refreshToken));
      if (!found?.live) return;
      await this.end(tx, found, 'logout', ctx);
      const user = await findUser(tx, found.userId);
      if (user !== undefined) await audit(tx, logout, user, ctx);
    });
    return {};
  }

  private async end(tx: EntityManager, { sessionId, userId }: FoundToken, reason: string, ctx: BusContext): Promise<void> {
    await endSession(tx, sessionId, reason);
    await emit(tx, userChanged, { objectId: userId, data: { userId: userId as UserId, what: `session-${reason}` }, ctx });
  }

  private async sessionOf(user: StoredUser, sessionId: string, refreshToken: string): Promise<Session> {
    const accessToken = await signAccess(user.id, sessionId, this.ring.signer, systemClock.now());
    return { accessToken, accessExpiresInMs: accessTokenMs, refreshToken, refreshExpiresInMs: sessionLifeMs, user: { id: user.id, handle: user.handle, mustChangePassword: user.mustChangePassword } };
  }
}

/** Who signs in or out is known by what he shows, not by whom the request speaks for. */
function audit(tx: EntityManager, operation: Operation, { id, handle }: StoredUser, ctx: BusContext, address?: string): Promise<void> {
  const object: AuditFacts['object'] = { noun: 'user', id };
  return auditMutation(tx, { ctx: { ...ctx, actor: { userId: id, handle, rights: [] } }, operation, input: {}, reply: {}, object, address });
}
