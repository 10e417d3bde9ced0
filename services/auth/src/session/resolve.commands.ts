// Who stands behind a bearer token now: looked up at each question, so that a logout, a lost role or a disabled account
// counts at once. What doors may keep of the answer is short and ends with the token.
import { timingSafeEqual } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import type { BusContext } from '#bus';
import { TokenExpired, Unauthenticated } from '#contracts';
import type { Actor, Holder, ReplyOf, resolveBearer, resolveHolder } from '#contracts';
import { ok, systemClock } from '#kernel';
import type { Result } from '#kernel';
import { Db } from '#service';
import { rightsOf } from '../grant/grant.store.ts';
import { KeyRing } from '../keys/key-ring.store.ts';
import { readAccess, signActor } from '../keys/tokens.ts';
import { parseApiToken } from '../token/api-token.ts';
import { findSecret, noteUse, userOfToken } from '../token/token.store.ts';
import { findUser } from '../user/user.store.ts';
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
    const acting = await this.acting(userId);
    if (!acting.ok) return acting;
    const leftMs = endsAt === null ? keepMs : endsAt - systemClock.now();
    return ok({ ...acting.value, validForMs: Math.max(0, Math.min(keepMs, Math.floor(leftMs))), holder });
  }

  /** The same for a session or token whose secret is not at hand: what it opened stays open as long as it lives itself. */
  async resolveHolder({ kind, id }: Holder): Promise<Result<ReplyOf<typeof resolveHolder>>> {
    const userId = await (kind === 'session' ? userOfLive(this.db, id) : userOfToken(this.db, id));
    const acting = userId === undefined ? invalid : await this.acting(userId);
    return acting.ok ? ok({ actor: acting.value.actor, actorToken: acting.value.actorToken }) : acting;
  }

  private async acting(userId: string): Promise<Result<{ actor: Actor; actorToken: string; mustChangePassword: boolean }>> {
    const user = await findUser(this.db, userId);
    if (user === undefined || user.disabled) return invalid;
    const actor: Actor = { userId: user.id, handle: user.handle, rights: await rightsOf(this.db, user.id) };
    return ok({ actor, actorToken: await signActor(actor, this.ring.signer, systemClock.now()), mustChangePassword: user.mustChangePassword });
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
