// Giving and taking roles. Nobody gives what he does not have, nor takes it from who has more; the same grant twice is
// one grant; and somebody who administers the site is always left.
import { Inject, Injectable } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import type { BusContext } from '#bus';
import { createGrant, deleteGrant, NotFound, PermissionDenied, userChanged } from '#contracts';
import type { InputOf, listGrants, Permission, ReplyOf, Right } from '#contracts';
import { accessFilter, allowed, mayAccess, whoOf } from '#database';
import type { Queryable } from '#database';
import { newUuid, ok } from '#kernel';
import type { Result } from '#kernel';
import { Db } from '#service';
import { emit, runCommand } from '#tasks';
import { findRole, lockRole } from '../role/role.store.ts';
import { lockUser } from '../user/user.store.ts';
import { deleteGrants, findGrant, findSameGrant, insertGrant, keepAnAdministrator, lockAdministrators, pageOfGrants, rightsOf } from './grant.store.ts';
import type { GrantObject } from './grant.store.ts';
import { uncoveredIn } from './rights.ts';

@Injectable()
export class GrantCommands {
  constructor(@Inject(Db) private readonly db: DataSource) {}

  create(input: InputOf<typeof createGrant>, ctx: BusContext): Promise<Result<GrantObject>> {
    const { userId, roleId, scope, scopeId } = input;
    return runCommand(this.db, { ctx, operation: createGrant, input }, async (tx) => {
      if (!mayAccess(whoOf(ctx), 'grant.write', {})) return PermissionDenied.fail('You lack the right grant.write on the site.', { permission: 'grant.write' });
      // Locked, so that neither is deleted between the check and the commit.
      const role = await lockRole(tx, roleId);
      if (role === undefined) return NotFound.fail('There is no role with this id.', { noun: 'role', id: roleId });
      const user = await lockUser(tx, userId);
      if (user === undefined) return NotFound.fail('There is no user with this id.', { noun: 'user', id: userId });
      const own = await holds(tx, ctx, role.permissions, { scope, scopeId });
      if (!own.ok) return own;
      const same = await findSameGrant(tx, { userId, roleId, scope, scopeId });
      if (same !== undefined) return same;
      const id = newUuid();
      await insertGrant(tx, { id, userId, roleId, scope, scopeId });
      await emit(tx, userChanged, { objectId: userId, data: { userId, what: 'granted' }, ctx });
      const made = await findGrant(tx, id);
      return made === undefined ? NotFound.fail('There is no grant with this id.', { noun: 'grant', id }) : made;
    });
  }

  async list(input: InputOf<typeof listGrants>, ctx: BusContext): Promise<Result<ReplyOf<typeof listGrants>>> {
    const page = await pageOfGrants(this.db, { input, filter: accessFilter(whoOf(ctx), 'grant.read', { id: 'g.id' }) });
    return page.ok ? ok({ items: page.value.rows, next: page.value.next }) : page;
  }

  delete(input: InputOf<typeof deleteGrant>, ctx: BusContext): Promise<Result<Record<string, never>>> {
    const { grantId } = input;
    return runCommand(this.db, { ctx, operation: deleteGrant, input }, async (tx) => {
      await lockAdministrators(tx);
      const found = allowed(whoOf(ctx), 'grant.write', await findGrant(tx, grantId), { noun: 'grant', id: grantId, read: 'grant.read' });
      if (!found.ok) return found;
      const { userId, roleId, scope, scopeId } = found.value;
      const role = await findRole(tx, roleId);
      const own = await holds(tx, ctx, role?.permissions ?? [], { scope, scopeId });
      if (!own.ok) return own;
      await deleteGrants(tx, { sql: 'id = ?', params: [grantId] });
      const kept = await keepAnAdministrator(tx, userId);
      if (!kept.ok) return kept;
      await emit(tx, userChanged, { objectId: userId, data: { userId, what: 'ungranted' }, ctx });
      return {};
    });
  }
}

async function holds(db: Queryable, ctx: BusContext, permissions: readonly Permission[], scope: Pick<Right, 'scope' | 'scopeId'>): Promise<Result<undefined>> {
  const who = whoOf(ctx);
  const permission = who === 'system' ? undefined : uncoveredIn(await rightsOf(db, who.userId), permissions, scope);
  return permission === undefined ? ok(undefined) : PermissionDenied.fail(`You lack the right ${permission} in this scope, so it is not yours to give or take.`, { permission });
}
