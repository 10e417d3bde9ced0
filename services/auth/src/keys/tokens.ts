// The two kinds of signed token, told apart by their audience: access tokens for doors, actor tokens for services.
// Algorithm, issuer and audience are pinned; a token says nothing that is believed before its signature is.
import type { KeyObject } from 'node:crypto';
import { errors, jwtVerify, SignJWT } from 'jose';
import { z } from 'zod';
import type { Actor } from '#contracts';
import { TokenExpired, Unauthenticated, UserId } from '#contracts';
import type { Result } from '#kernel';
import { newUuid, ok } from '#kernel';

export const issuer = 'tokamak-auth';
export const accessAudience = 'tokamak-api';
export const actorAudience = 'tokamak-actor';
export const accessTokenMs = 10 * 60_000;
/** Long enough that a task can carry it from its start to its end. */
export const actorTokenMs = 48 * 3_600_000;

export interface Signer {
  readonly kid: string;
  readonly privateKey: KeyObject;
}

export interface Access {
  readonly userId: UserId;
  readonly sessionId: string;
  /** Wall clock, ms. */
  readonly endsAt: number;
}

const AccessClaims = z.object({ sub: UserId, sid: z.uuid(), exp: z.number() });

const sign = (claims: Record<string, unknown>, audience: string, lifeMs: number, signer: Signer, nowMs: number): Promise<string> => {
  const second = Math.floor(nowMs / 1000);
  return new SignJWT(claims).setProtectedHeader({ alg: 'EdDSA', kid: signer.kid, typ: 'JWT' }).setIssuer(issuer).setAudience(audience)
    .setIssuedAt(second).setExpirationTime(second + Math.floor(lifeMs / 1000)).setJti(newUuid()).sign(signer.privateKey);
};

export const signAccess = (userId: string, sessionId: string, signer: Signer, nowMs: number): Promise<string> =>
  sign({ sub: userId, sid: sessionId }, accessAudience, accessTokenMs, signer, nowMs);

export const signActor = ({ userId, handle, rights }: Actor, signer: Signer, nowMs: number): Promise<string> =>
  sign({ sub: userId, handle, rights }, actorAudience, actorTokenMs, signer, nowMs);

/** The claims of an access token, or TOKEN_EXPIRED, UNAUTHENTICATED. */
export async function readAccess(token: string, find: (kid: string | undefined) => Promise<KeyObject | undefined>, nowMs: number): Promise<Result<Access>> {
  try {
    const { payload } = await jwtVerify(token, async ({ kid }) => {
      const key = await find(kid);
      if (key === undefined) throw new errors.JWKSNoMatchingKey();
      return key;
    }, { algorithms: ['EdDSA'], issuer, audience: accessAudience, requiredClaims: ['exp', 'sub', 'sid'], currentDate: new Date(nowMs) });
    const claims = AccessClaims.parse(payload);
    return ok({ userId: claims.sub, sessionId: claims.sid, endsAt: claims.exp * 1000 });
  } catch (error) {
    if (error instanceof errors.JWTExpired) return TokenExpired.fail('The token has ended; refresh it or sign in again.');
    if (error instanceof errors.JOSEError || error instanceof z.ZodError || error instanceof TypeError) return Unauthenticated.fail('The token is not valid.', undefined, error);
    throw error;
  }
}
