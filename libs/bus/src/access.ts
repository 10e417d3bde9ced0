// Who a message speaks for, and whether that one may ask for the operation at all. Coarse: the right in any scope is
// enough here; whether it covers the object is for the owner to decide.
import type { Access, Actor } from '#contracts';
import { InvalidArgument, ownerPermissions, PermissionDenied, permissions, Unauthenticated } from '#contracts';
import type { Permission } from '#contracts';
import type { Fault, Result } from '#kernel';
import { ok } from '#kernel';
import type { ActorVerifier } from './context.ts';
import { callingService, header } from './headers.ts';

export interface Caller {
  readonly actor: Actor | null;
  readonly system: boolean;
  readonly actorToken: string | null;
  readonly caller: string | null;
}

export const nobody: Caller = { actor: null, system: false, actorToken: null, caller: null };

/** The caller of an operation, from header `Tok-Actor`. On public operations a token that does not hold is as good as none. */
export async function identify(actorHeader: string, permission: Access, verifier: ActorVerifier): Promise<Result<Caller>> {
  if (actorHeader === '') return ok(nobody);
  const service = callingService(actorHeader);
  if (service === undefined) return malformed();
  if (service !== null) return ok({ actor: null, system: true, actorToken: null, caller: service });
  const verified = await verifier.verify(actorHeader);
  if (verified.ok) return ok({ actor: verified.value, system: false, actorToken: actorHeader, caller: null });
  return permission === 'public' ? ok(nobody) : verified;
}

const malformed = (): Result<never> =>
  InvalidArgument.fail(`The header ${header.actor} names no service.`, { issues: [{ path: header.actor, message: 'service:<name> or a token' }] });

const known: ReadonlySet<string> = new Set(permissions);
const isPermission = (access: Access): access is Permission => known.has(access);

/** Why the caller may not, or undefined when he may. */
export function refusal(permission: Access, caller: Caller): Fault | undefined {
  if (permission === 'public' || caller.system) return undefined;
  if (permission === 'internal') return PermissionDenied.fault('Only services may call this.', { permission });
  if (caller.actor === null) return Unauthenticated.fault('Sign in first.');
  if (!isPermission(permission) || ownerPermissions.includes(permission)) return undefined;
  const holds = caller.actor.rights.some((right) => right.permissions.includes(permission));
  return holds ? undefined : PermissionDenied.fault(`You lack the right ${permission}.`, { permission });
}
