// Checks the signed actor that travels with a request. The algorithm is pinned, keys come from auth alone and are kept,
// so that a request costs no question and auth may be away; a burst of unknown key ids becomes one question a second.
import { errors, importJWK, jwtVerify } from 'jose';
import type { CryptoKey, JWTPayload } from 'jose';
import { Actor, TokenExpired, Unauthenticated, Unavailable } from '#contracts';
import { ok, systemClock } from '#kernel';
import type { Clock, Result } from '#kernel';

/** A public Ed25519 key: `x` as in RFC 8037. */
export interface ActorKey {
  readonly kid: string;
  readonly x: string;
}
export type ActorKeySource = () => Promise<Result<readonly ActorKey[]>>;

export const actorTokenIssuer = 'tokamak-auth';
export const actorTokenAudience = 'tokamak-actor';

const refetchPauseMs = 1_000;
/** So long a withdrawn key is still believed. */
const keysKeptMs = 60_000;
const verdictsKept = 2_000;

interface Verdict {
  readonly actor: Actor;
  readonly kid: string;
  readonly endsAtMs: number;
}

export class JwtActorVerifier {
  private keys = new Map<string, { readonly x: string; readonly key: CryptoKey | Uint8Array }>();
  private readonly verdicts = new Map<string, Verdict>();
  private askedAt = Number.NEGATIVE_INFINITY;
  private heardAt = Number.NEGATIVE_INFINITY;
  private asking: Promise<void> | undefined;

  constructor(private readonly source: ActorKeySource, private readonly clock: Clock = systemClock) {}

  /** The actor, or UNAUTHENTICATED, TOKEN_EXPIRED, UNAVAILABLE (no keys and auth does not answer). */
  async verify(token: string): Promise<Result<Actor>> {
    if (this.clock.monotonic() - this.heardAt > keysKeptMs) await this.refresh();
    const known = this.verdicts.get(token);
    if (known !== undefined) return this.fresh(token, known);
    try {
      const { payload, protectedHeader } = await jwtVerify(token, ({ kid }) => this.keyOf(kid), {
        algorithms: ['EdDSA'],
        issuer: actorTokenIssuer,
        audience: actorTokenAudience,
        requiredClaims: ['exp', 'sub'],
        currentDate: new Date(this.clock.now()),
      });
      return this.accept(token, protectedHeader.kid ?? '', payload);
    } catch (error) {
      if (error instanceof errors.JWTExpired) return TokenExpired.fail('The token has ended; sign in again or refresh it');
      if (error instanceof NoKeys) return Unavailable.fail('Tokens cannot be checked now', { service: 'auth' });
      return Unauthenticated.fail('The token is not valid', undefined, error);
    }
  }

  private accept(token: string, kid: string, payload: JWTPayload): Result<Actor> {
    const actor = Actor.safeParse({ userId: payload.sub, handle: payload['handle'], rights: payload['rights'] });
    if (!actor.success) return Unauthenticated.fail('The token is not valid', undefined, actor.error);
    const oldest = this.verdicts.keys().next();
    if (this.verdicts.size >= verdictsKept && !oldest.done) this.verdicts.delete(oldest.value);
    this.verdicts.set(token, { actor: actor.data, kid, endsAtMs: (payload.exp ?? 0) * 1000 });
    return ok(actor.data);
  }

  private fresh(token: string, verdict: Verdict): Result<Actor> {
    if (this.clock.now() < verdict.endsAtMs) return ok(verdict.actor);
    this.verdicts.delete(token);
    return TokenExpired.fail('The token has ended; sign in again or refresh it');
  }

  private async keyOf(kid: string | undefined): Promise<CryptoKey | Uint8Array> {
    if (kid === undefined) throw new Error('the token names no key');
    if (!this.keys.has(kid)) await this.refresh();
    const found = this.keys.get(kid);
    if (found !== undefined) return found.key;
    if (this.keys.size === 0) throw new NoKeys();
    throw new Error('the token names an unknown key');
  }

  /** Asks auth, one question at a time and one a second at most. Keeps the keys it has when auth does not answer. */
  private refresh(): Promise<void> {
    if (this.asking === undefined) {
      if (this.clock.monotonic() - this.askedAt < refetchPauseMs) return Promise.resolve();
      this.askedAt = this.clock.monotonic();
      this.asking = this.ask().finally(() => { this.asking = undefined; });
    }
    return this.asking;
  }

  private async ask(): Promise<void> {
    const answer = await this.source();
    if (!answer.ok) return;
    this.heardAt = this.clock.monotonic();
    const imported = await Promise.all(answer.value.map(async ({ kid, x }) =>
      [kid, { x, key: this.keys.get(kid)?.x === x ? this.keys.get(kid)!.key : await importJWK({ kty: 'OKP', crv: 'Ed25519', x }, 'EdDSA') }] as const));
    const before = this.keys;
    this.keys = new Map(imported);
    for (const [token, { kid }] of this.verdicts) {
      if (this.keys.get(kid)?.x !== before.get(kid)?.x) this.verdicts.delete(token);
    }
  }
}

class NoKeys extends Error {}
