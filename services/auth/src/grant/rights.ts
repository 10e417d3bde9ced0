// The one rule about passing rights on: nobody gives, or gains power over, more than he has himself.
import { reaches, type Permission, type Right } from '#contracts';

type Scope = Pick<Right, 'scope' | 'scopeId'>;

const holds = (mine: readonly Right[], permission: Permission, { scope, scopeId }: Scope): boolean =>
  mine.some((right) => right.permissions.includes(permission) && (right.scope === 'site' || (right.scope === scope && reaches(right, scopeId))));

/** A permission of `theirs` that `mine` does not cover; undefined when all are covered. */
export function uncovered(mine: readonly Right[], theirs: readonly Right[]): Permission | undefined {
  for (const right of theirs) {
    const missing = right.permissions.find((permission) => !holds(mine, permission, right));
    if (missing !== undefined) return missing;
  }
  return undefined;
}

/** The same question about one role's permissions within one scope. */
export const uncoveredIn = (mine: readonly Right[], permissions: readonly Permission[], scope: Scope): Permission | undefined =>
  uncovered(mine, [{ permissions: [...permissions], ...scope }]);
