// The rights check for things that do not exist yet: making them is a right on the whole site.
import { PermissionDenied } from '#contracts';
import type { Permission } from '#contracts';
import { mayAccess } from '#database';
import type { Who } from '#database';
import { FaultError } from '#kernel';

export function onSite(who: Who, permission: Permission): void {
  if (!mayAccess(who, permission, {})) throw new FaultError(PermissionDenied.fault(`You lack the right ${permission} on the site.`, { permission }));
}
