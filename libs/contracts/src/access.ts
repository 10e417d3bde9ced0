// Who may do what on one object. A right covers by its scope; the owner of an object may do what `ownerPermissions` lists
// without any right. Lists apply the same rule in SQL (`accessFilter` of #database).
import { ok, type Result } from '#kernel';
import { NotFound, PermissionDenied } from './errors.ts';
import { ownerPermissions, type Permission } from './permissions.ts';
import type { Actor, Right } from './values.ts';

/** A user, or a service on its own behalf, which may do everything. */
export type Who = Actor | 'system';

/** What decides about an object. A member that the noun does not have is left out; `id` is absent while it is being made. */
export interface AccessObject {
  readonly id?: string;
  readonly ownerId?: string | null;
  readonly folderId?: string | null;
  readonly clusterId?: string | null;
}

/** The member of an object that a scope compares with. */
export const memberOfScope = { cluster: 'clusterId', folder: 'folderId', object: 'id' } as const;

/** The acting party of a request's context. Throws when there is none: the bus lets nobody in without one. */
export function whoOf(ctx: { readonly actor: Actor | null; readonly system: boolean }): Who {
  if (ctx.system) return 'system';
  if (ctx.actor === null) throw new Error('a request without an actor reached an operation that needs one');
  return ctx.actor;
}

/** Whether a right with a scope reaches the scope of this id. */
export const reaches = ({ scopeId, below }: Pick<Right, 'scopeId' | 'below'>, id: string | null | undefined): boolean =>
  id !== null && id !== undefined && (id === scopeId || below?.includes(id) === true);

export function mayAccess(who: Who, permission: Permission, object: AccessObject): boolean {
  if (who === 'system') return true;
  if (isOwnersOwn(permission) && object.ownerId !== undefined && object.ownerId !== null && object.ownerId === who.userId) return true;
  return who.rights.some((right) => {
    if (!right.permissions.includes(permission)) return false;
    if (right.scope === 'site') return true;
    return reaches(right, object[memberOfScope[right.scope]]);
  });
}

/**
 * The object, or why not: NOT_FOUND where it does not exist or `who` may not even see it (`read`), PERMISSION_DENIED
 * where he sees it but lacks `permission`.
 */
export function allowed<T extends AccessObject & { readonly id: string }>(
  who: Who, permission: Permission, found: T | undefined, about: { readonly noun: string; readonly id: string; readonly read: Permission },
): Result<T> {
  const missing = NotFound.fail(`There is no ${about.noun} with this id.`, { noun: about.noun, id: about.id });
  if (found === undefined) return missing;
  if (mayAccess(who, permission, found)) return ok(found);
  if (permission === about.read || !mayAccess(who, about.read, found)) return missing;
  return PermissionDenied.fail(`You lack the right ${permission} on this ${about.noun}.`, { permission });
}

/** Whether ownership alone gives this right. */
export const isOwnersOwn = (permission: Permission): boolean => ownerPermissions.includes(permission);
