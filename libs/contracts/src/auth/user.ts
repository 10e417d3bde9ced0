// Users, roles and grants: who may do what within which scope.
import { z } from 'zod';
import { defineCommand, defineEvent, defineQuery } from '../define.ts';
import { BadCredentials, InUse, LockedOut, NameTaken, NotFound, PermissionDenied, VersionConflict } from '../errors.ts';
import { GrantId, RoleId, UserId } from '../ids.ts';
import { permissions } from '../permissions.ts';
import { listInput, searchInput } from '../list.ts';
import { At, Done, Handle, Name, objectFields, pageOf } from '../values.ts';
import { Password } from './session.ts';

export const User = z.strictObject({ id: UserId, handle: Handle, displayName: Name, disabled: z.boolean(), mustChangePassword: z.boolean(), lastLoginAt: At.nullable(), ...objectFields }).meta({ id: 'User' });
export const createUser = defineCommand('auth.user.create', {
  summary: 'Make a user', http: 'POST /v1/users', permission: 'user.write',
  input: z.strictObject({ handle: Handle, displayName: Name.optional(), password: Password, mustChangePassword: z.boolean().default(true) }), reply: User, errors: [NameTaken],
});
export const listUsers = defineQuery('auth.user.list', { summary: 'List users', http: 'GET /v1/users', permission: 'user.read', input: z.strictObject({ ...listInput(User, ['number', 'handle', 'createdAt']), ...searchInput('part of the handle or of the shown name'), handle: Handle.optional() }), reply: pageOf(User) });
export const getUser = defineQuery('auth.user.get', { summary: 'Show a user', http: 'GET /v1/users/:userId', permission: 'user.read', input: z.strictObject({ userId: UserId }), reply: User, errors: [NotFound] });
export const updateUser = defineCommand('auth.user.update', {
  summary: 'Change a user; disabling ends his sessions', http: 'PATCH /v1/users/:userId', permission: 'user.write',
  input: z.strictObject({ userId: UserId, displayName: Name.optional(), disabled: z.boolean().optional(), version: z.int().optional() }), reply: User, errors: [NotFound, VersionConflict, InUse],
});
export const deleteUser = defineCommand('auth.user.delete', { summary: 'Delete a user; the handle is never used again', http: 'DELETE /v1/users/:userId', permission: 'user.write', input: z.strictObject({ userId: UserId }), reply: Done, errors: [NotFound, InUse] });
export const setPassword = defineCommand('auth.user.set-password', {
  summary: 'Set a password: your own with the current one, another user’s with the right', http: 'POST /v1/users/:userId/set-password', permission: 'authenticated',
  input: z.strictObject({ userId: UserId, currentPassword: z.string().max(256).optional(), newPassword: Password }), reply: Done, errors: [NotFound, BadCredentials, PermissionDenied, LockedOut],
});

export const Role = z.strictObject({ id: RoleId, name: Name, builtin: z.boolean(), permissions: z.array(z.enum(permissions)), ...objectFields }).meta({ id: 'Role' });
const rights = z.array(z.enum(permissions)).min(1).max(permissions.length);
export const createRole = defineCommand('auth.role.create', { summary: 'Make a role', http: 'POST /v1/roles', permission: 'role.write', input: z.strictObject({ name: Name, permissions: rights }), reply: Role, errors: [NameTaken] });
export const listRoles = defineQuery('auth.role.list', { summary: 'List roles', http: 'GET /v1/roles', permission: 'role.read', input: z.strictObject({ ...listInput(Role, ['number', 'name']), ...searchInput(), name: Name.optional() }), reply: pageOf(Role) });
export const getRole = defineQuery('auth.role.get', { summary: 'Show a role', http: 'GET /v1/roles/:roleId', permission: 'role.read', input: z.strictObject({ roleId: RoleId }), reply: Role, errors: [NotFound] });
export const updateRole = defineCommand('auth.role.update', { summary: 'Change a role', http: 'PATCH /v1/roles/:roleId', permission: 'role.write', input: z.strictObject({ roleId: RoleId, name: Name.optional(), permissions: rights.optional(), version: z.int().optional() }), reply: Role, errors: [NotFound, NameTaken, InUse, VersionConflict] });
export const deleteRole = defineCommand('auth.role.delete', { summary: 'Delete a role that no grant uses', http: 'DELETE /v1/roles/:roleId', permission: 'role.write', input: z.strictObject({ roleId: RoleId }), reply: Done, errors: [NotFound, InUse] });

const scope = { scope: z.enum(['site', 'cluster', 'folder', 'object']), scopeId: z.uuid().nullable() };
export const Grant = z.strictObject({ id: GrantId, userId: UserId, roleId: RoleId, roleName: Name, ...scope, createdAt: At }).meta({ id: 'Grant' });
export const createGrant = defineCommand('auth.grant.create', {
  summary: 'Give a user a role within a scope; nobody gives rights he does not have', http: 'POST /v1/grants', permission: 'grant.write',
  input: z.strictObject({ userId: UserId, roleId: RoleId, scope: scope.scope.default('site'), scopeId: scope.scopeId.default(null) }).refine((grant) => (grant.scope === 'site') === (grant.scopeId === null), 'scopeId goes with every scope but site'),
  reply: Grant, errors: [NotFound, PermissionDenied],
});
export const listGrants = defineQuery('auth.grant.list', { summary: 'List grants', http: 'GET /v1/grants', permission: 'grant.read', input: z.strictObject({ ...listInput(Grant, ['createdAt']), userId: UserId.optional() }), reply: pageOf(Grant) });
export const deleteGrant = defineCommand('auth.grant.delete', { summary: 'Take a grant away', http: 'DELETE /v1/grants/:grantId', permission: 'grant.write', input: z.strictObject({ grantId: GrantId }), reply: Done, errors: [NotFound, InUse] });

export const userCreated = defineEvent('auth.user.created', { summary: 'A user was made', data: z.strictObject({ user: User }) });
export const userChanged = defineEvent('auth.user.changed', { summary: 'A user, his grants, sessions or tokens changed; doors forget what they know of him', data: z.strictObject({ userId: UserId, what: z.string() }) });
export const userDeleted = defineEvent('auth.user.deleted', { summary: 'A user was deleted', data: z.strictObject({ userId: UserId }) });
export const roleChanged = defineEvent('auth.role.changed', { summary: 'A role was made, changed or deleted', data: z.strictObject({ roleId: RoleId, what: z.string() }) });
