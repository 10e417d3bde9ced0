// Changing roles. A role may hold only what its writer holds on the whole site: it may be granted, or be granted already.
import { Inject, Injectable } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import type { BusContext } from '#bus';
import { createRole, deleteRole, InUse, NameTaken, NotFound, PermissionDenied, roleChanged, updateRole, userChanged, VersionConflict } from '#contracts';
import type { getRole, InputOf, listRoles, Permission, ReplyOf, RoleId, UserId } from '#contracts';
import { accessFilter, allowed, isDuplicate, mayAccess, nextNumber, whoOf } from '#database';
import type { Queryable } from '#database';
import { newUuid, ok } from '#kernel';
import type { Result } from '#kernel';
import { Db } from '#service';
import { emit, runCommand } from '#tasks';
import { rightsOf } from '../grant/grant.store.ts';
import { uncoveredIn } from '../grant/rights.ts';
import { changeRole, findRole, holdersOf, insertRole, lockRole, pageOfRoles, removeRole } from './role.store.ts';
import type { RoleObject } from './role.store.ts';

const noun = 'role';
const site = { scope: 'site', scopeId: null } as const;

@Injectable()
export class RoleCommands {
  constructor(@Inject(Db) private readonly db: DataSource) {}

  create(input: InputOf<typeof createRole>, ctx: BusContext): Promise<Result<RoleObject>> {
    return runCommand(this.db, { ctx, operation: createRole, input }, async (tx) => {
      if (!mayAccess(whoOf(ctx), 'role.write', {})) return PermissionDenied.fail('You lack the right role.write on the site.', { permission: 'role.write' });
      const own = await holdsAll(tx, ctx, input.permissions);
      if (!own.ok) return own;
      const id = newUuid() as RoleId;
      try {
        await insertRole(tx, { id, number: await nextNumber(tx, noun), name: input.name, builtin: false, permissions: once(input.permissions) });
      } catch (error) {
        if (isDuplicate(error)) return taken(input.name);
        throw error;
      }
      await emit(tx, roleChanged, { objectId: id, data: { roleId: id, what: 'created' }, ctx });
      return present(tx, id);
    });
  }

  async get({ roleId }: InputOf<typeof getRole>, ctx: BusContext): Promise<Result<RoleObject>> {
    return allowed(whoOf(ctx), 'role.read', await findRole(this.db, roleId), { noun, id: roleId, read: 'role.read' });
  }

  async list(input: InputOf<typeof listRoles>, ctx: BusContext): Promise<Result<ReplyOf<typeof listRoles>>> {
    const page = await pageOfRoles(this.db, { input, filter: accessFilter(whoOf(ctx), 'role.read', { id: 'r.id' }) });
    return page.ok ? ok({ items: page.value.rows, next: page.value.next }) : page;
  }

  update(input: InputOf<typeof updateRole>, ctx: BusContext): Promise<Result<RoleObject>> {
    const { roleId, version } = input;
    return runCommand(this.db, { ctx, operation: updateRole, input }, async (tx) => {
      const found = changeable(await lockRole(tx, roleId), roleId, ctx);
      if (!found.ok) return found;
      const before = found.value;
      if (version !== undefined && version !== before.version) return VersionConflict.fail('Somebody changed the role meanwhile.', { expected: version, actual: before.version });
      const permissions = once(input.permissions ?? before.permissions);
      // Also what it had: taking a right from a role of the mightier is as much a change as giving one.
      const own = await holdsAll(tx, ctx, input.permissions === undefined ? [] : [...permissions, ...before.permissions]);
      if (!own.ok) return own;
      const name = input.name ?? before.name;
      try {
        await changeRole(tx, roleId, before.version, { name, permissions });
      } catch (error) {
        if (isDuplicate(error)) return taken(name);
        throw error;
      }
      await emit(tx, roleChanged, { objectId: roleId, data: { roleId, what: 'changed' }, ctx });
      const users = new Set((await holdersOf(tx, roleId)).map(({ userId }) => userId as UserId));
      for (const userId of users) await emit(tx, userChanged, { objectId: userId, data: { userId, what: 'role' }, ctx });
      return present(tx, roleId);
    });
  }

  delete(input: InputOf<typeof deleteRole>, ctx: BusContext): Promise<Result<Record<string, never>>> {
    const { roleId } = input;
    return runCommand(this.db, { ctx, operation: deleteRole, input }, async (tx) => {
      const found = changeable(await lockRole(tx, roleId), roleId, ctx);
      if (!found.ok) return found;
      const holders = await holdersOf(tx, roleId);
      if (holders.length > 0) return InUse.fail('The role is granted; take the grants away first.', { by: holders.slice(0, 20).map(({ grantId }) => ({ noun: 'grant', id: grantId })) });
      await removeRole(tx, roleId);
      await emit(tx, roleChanged, { objectId: roleId, data: { roleId, what: 'deleted' }, ctx });
      return {};
    });
  }
}

const once = (permissions: readonly Permission[]): Permission[] => [...new Set(permissions)];
const taken = (name: string): Result<never> => NameTaken.fail(`There is a role ${name} already.`, { noun, name });

function changeable(role: RoleObject | undefined, id: string, ctx: BusContext): Result<RoleObject> {
  const found = allowed(whoOf(ctx), 'role.write', role, { noun, id, read: 'role.read' });
  if (!found.ok) return found;
  return found.value.builtin ? InUse.fail('Built-in roles come with the product and cannot be changed; make a role of your own.', { by: [{ noun: 'product', id: found.value.name }] }) : found;
}

async function holdsAll(db: Queryable, ctx: BusContext, permissions: readonly Permission[]): Promise<Result<undefined>> {
  const who = whoOf(ctx);
  const permission = who === 'system' ? undefined : uncoveredIn(await rightsOf(db, who.userId), permissions, site);
  return permission === undefined ? ok(undefined) : PermissionDenied.fail(`You lack the right ${permission} on the site, so no role of yours can hold it.`, { permission });
}

async function present(db: Queryable, id: string): Promise<Result<RoleObject>> {
  const role = await findRole(db, id);
  return role === undefined ? NotFound.fail('There is no role with this id.', { noun, id }) : ok(role);
}
