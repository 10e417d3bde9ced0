// Who stands behind a bearer token now: looked up at each question, so that a logout, a lost role or a disabled account
// counts at once. What doors may keep of the answer is short and ends with the token.
import { timingSafeEqual } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import type { BusContext } from '#bus';
import { TokenExpired, Unauthenticated } from '#contracts';
import type { Actor, Holder, ReplyOf, resolveBearer, resolveHandle, resolveHolder } from '#contracts';
import { ok, systemClock } from '#kernel';
import type { Result } from '#kernel';
import { Db } from '#service';
import { rightsOf } from '../grant/grant.store.ts';
import { KeyRing } from '../keys/key-ring.store.ts';
import { readAccess, signActor } from '../keys/tokens.ts';
import { parseApiToken } from '../token/api-token.ts';
import { findSecret, noteUse, userOfToken } from '../token/token.store.ts';
import { findUser, findUserByHandle } from '../user/user.store.ts';
import type { StoredUser } from '../user/user.store.ts';
import { hashOf, isLive, userOfLive } from './session.store.ts';

/** How long a door may keep an answer at most, ms. It hears of changes at once; this is for those that it misses. */
const keepMs = 30_000;

interface Bearer {
  readonly userId: string;
  /** Wall clock, ms; null = has no end. */
  readonly endsAt: number | null;
  readonly holder: Holder;
}

const invalid = Unauthenticated.fail('The token is not valid; sign in again.');

@Injectable()
export class ResolveCommands {
  constructor(@Inject(Db) private readonly db: DataSource, @Inject(KeyRing) private readonly ring: KeyRing) {}

  async resolve(bearer: string): Promise<Result<ReplyOf<typeof resolveBearer>>> {
    const found = await (parseApiToken(bearer) === undefined ? this.ofSession(bearer) : this.ofApiToken(bearer));
    if (!found.ok) return found;
    const { userId, endsAt, holder } = found.value;
    return this.actingUser(await findUser(this.db, userId), endsAt, holder);
  }

  /** The NATS server has seen to it that nobody but this user speaks under the handle. */
  async resolveHandle(handle: string): Promise<Result<ReplyOf<typeof resolveHandle>>> {
    const user = await findUserByHandle(this.db, handle);
    return user === undefined ? invalid : this.actingUser(user, null, { kind: 'user', id: user.id });
  }

  /** The same for a session or token whose secret is not at hand: what it opened stays open as long as it lives itself. */
  async resolveHolder(holder: Holder): Promise<Result<ReplyOf<typeof resolveHolder>>> {
    const userId = await this.userOf(holder);
    const acting = userId === undefined ? invalid : await this.actingUser(await findUser(this.db, userId), null, holder);
    return acting.ok ? ok({ actor: acting.value.actor, actorToken: acting.value.actorToken }) : acting;
  }

  private async userOf({ kind, id }: Holder): Promise<string | undefined> {
    if (kind === 'user') return id;
    return kind === 'session' ? userOfLive(this.db, id) : userOfToken(this.db, id);
  }

  private async actingUser(user: StoredUser | undefined, endsAt: number | null, holder: Holder): Promise<Result<ReplyOf<typeof resolveBearer>>> {
    if (user === undefined || user.disabled) return invalid;
    const actor: Actor = { userId: user.id, handle: user.handle, rights: await rightsOf(this.db, user.id) };
    const now = systemClock.now();
    const leftMs = endsAt === null ? keepMs : endsAt - now;
    const actorToken = await signActor(actor, this.ring.signer, now);
    return ok({ actor, actorToken, validForMs: Math.max(0, Math.min(keepMs, Math.floor(leftMs))), mustChangePassword: user.mustChangePassword, holder });
  }

  /** The caller with the rights that he has now, not those his token was signed with. */
  async whoAmI({ actor }: BusContext): Promise<Result<Actor>> {
    if (actor === null) return Unauthenticated.fail('Sign in first.');
    return ok({ userId: actor.userId, handle: actor.handle, rights: await rightsOf(this.db, actor.userId) });
  }

  private async ofSession(token: string): Promise<Result<Bearer>> {
    const access = await readAccess(token, (kid) => this.ring.find(kid), systemClock.now());
    if (!access.ok) return access;
    const { sessionId, userId, endsAt } = access.value;
    return (await isLive(this.db, sessionId, userId)) ? ok({ userId, endsAt, holder: { kind: 'session', id: sessionId } }) : invalid;
  }

  private async ofApiToken(token: string): Promise<Result<Bearer>> {
    const parsed = parseApiToken(token);
    const stored = parsed && (await findSecret(this.db, parsed.id));
    if (!parsed || !stored || !timingSafeEqual(Buffer.from(stored.hash), Buffer.from(hashOf(parsed.secret)))) return invalid;
    if (stored.ended) return TokenExpired.fail('The API token has ended; make another one.');
    if (stored.useIsOld) await noteUse(this.db, parsed.id);
    return ok({ userId: stored.userId, endsAt: stored.expiresAt?.getTime() ?? null, holder: { kind: 'token', id: parsed.id } });
  }
}
