// Whether a request may come in: not while the door closes, not faster than allowed, and only who holds a right for it.
// The same order for every route; what it refuses has cost no question to the owner and no byte of the body.
import { refusal } from '#bus';
import { PasswordChangeRequired, RateLimited, setPassword, ShuttingDown, Unauthenticated, whoAmI } from '#contracts';
import type { Access } from '#contracts';
import type { Fault, Result } from '#kernel';
import { ok } from '#kernel';
import type { Callers, Caller } from '../caller/callers.client.ts';
import type { RateLimit } from './rate-limit.ts';

export interface Gates {
  readonly callers: Callers;
  readonly byAddress: RateLimit;
  readonly byUser: Pick<RateLimit, 'take'>;
  /** Attempts without valid credentials: passwords, tokens, refreshes. */
  readonly strangers: RateLimit;
  readonly closing: () => boolean;
}

/** What all doors of a gateway share: a user who comes through two of them is one user. */
export type SharedGates = Omit<Gates, 'closing'>;
export const SharedGates = Symbol('SharedGates');

/** What someone may do who has to set a new password first; leaving is public. */
const withOldPassword: ReadonlySet<string> = new Set([setPassword.name, whoAmI.name]);

const slowDown = (waitMs: number): Fault => RateLimited.fault('Too many requests; wait a little.', { retryAfterMs: waitMs });

/** Before anything else about the request is looked at. */
export function refusalAtTheStep(gates: Gates, address: string, access: Access): Fault | undefined {
  if (gates.closing()) return ShuttingDown.fault('This door is closing; another one is open.');
  const waitMs = gates.byAddress.take(address) || (access === 'public' ? gates.strangers.take(address) : 0);
  return waitMs === 0 ? undefined : slowDown(waitMs);
}

const bearerForm = /^Bearer +([\x21-\x7e]{1,4000})$/i;
export const bearerOf = (authorization: string | undefined): string | undefined => bearerForm.exec(authorization ?? '')?.[1];

/** The caller behind the header; at once when he is known. */
export function identifyCaller(gates: Gates, authorization: string | undefined, address: string): Caller | Promise<Result<Caller>> {
  if (authorization === undefined) return Promise.resolve(Unauthenticated.fail('Sign in first: this needs the header Authorization with a bearer token.'));
  const bearer = bearerOf(authorization);
  if (bearer === undefined) return Promise.resolve(Unauthenticated.fail('The header Authorization is not "Bearer <token>".'));
  return gates.callers.known(bearer) ?? stranger(gates, bearer, address);
}

async function stranger(gates: Gates, bearer: string, address: string): Promise<Result<Caller>> {
  const waitMs = gates.strangers.take(address);
  return waitMs === 0 ? gates.callers.resolve(bearer) : { ok: false, fault: slowDown(waitMs) };
}

/** Whether this caller may ask for this at all; whether it may be done to the object is for the owner to say. */
export function admit(gates: Gates, caller: Caller, operation: { readonly name: string; readonly permission: Access }): Result<Caller> {
  const waitMs = gates.byUser.take(caller.actor.userId);
  if (waitMs > 0) return { ok: false, fault: slowDown(waitMs) };
  if (caller.mustChangePassword && !withOldPassword.has(operation.name)) return PasswordChangeRequired.fail('Set a new password first: POST /v1/users/{id}/set-password.');
  const fault = refusal(operation.permission, { actor: caller.actor, system: false, actorToken: caller.actorToken, caller: null });
  return fault === undefined ? ok(caller) : { ok: false, fault };
}
