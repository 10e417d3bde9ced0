// Changing users. Who is changed must not have more rights than who changes him, else a password reset would be a way
// up; and somebody who administers the site is always left.
import { Inject, Injectable } from '@nestjs/common';
import type { DataSource, EntityManager } from 'typeorm';
import type { BusContext } from '#bus';
import { BadCredentials, createUser, deleteUser, NameTaken, NotFound, PermissionDenied, setPassword, updateUser, userChanged, userCreated, userDeleted, VersionConflict } from '#contracts';
import type { getUser, InputOf, listUsers, Permission, ReplyOf, UserId } from '#contracts';
import { accessFilter, allowed, isDuplicate, mayAccess, nextNumber, whoOf } from '#database';
import type { Queryable } from '#database';
import { newUuid, ok } from '#kernel';
import type { Result } from '#kernel';
import { Db } from '#service';
import { emit, runCommand } from '#tasks';
import { deleteGrants, keepAnAdministrator, lockAdministrators, rightsOf } from '../grant/grant.store.ts';
import { uncovered } from '../grant/rights.ts';
import { derive } from '../keys/seal.ts';
import type { MasterKey } from '../keys/seal.ts';
import { countTry, takeBackTry } from '../session/lock-out.store.ts';
import { revokeCredentialsOf } from '../bus-credential/bus-credential.store.ts';
import { Revocations } from '../bus-credential/revocation.reconciler.ts';
import { endSessionsOf } from '../session/session.store.ts';
import { removeApiTokensOf } from '../token/token.store.ts';
import { Master } from '../tokens.ts';
import { fitsPassword, hashPassword } from './password.ts';
import { displayNameOf } from './user.ts';
import { buryUser, changePassword, changeUser, findUser, insertUser, lockUser, pageOfUsers, shown } from './user.store.ts';
import type { StoredUser, UserObject } from './user.store.ts';

const noun = 'user';

@Injectable()
export class UserCommands {
  constructor(@Inject(Db) private readonly db: DataSource, @Inject(Master) private readonly master: MasterKey, @Inject(Revocations) private readonly revocations: Revocations) {}

  async create(input: InputOf<typeof createUser>, ctx: BusContext): Promise<Result<UserObject>> {
    if (!mayAccess(whoOf(ctx), 'user.write', {})) return PermissionDenied.fail('You lack the right user.write on the site.', { permission: 'user.write' });
    const passwordHash = await hashPassword(input.password);
    const { handle, mustChangePassword } = input;
    return runCommand(this.db, { ctx, operation: createUser, input: this.withoutPassword(input, 'password') }, async (tx) => {
      const id = newUuid();
      try {
        await insertUser(tx, { id, number: await nextNumber(tx, noun), handle, displayName: input.displayName ?? displayNameOf(handle), passwordHash, mustChangePassword });
      } catch (error) {
        if (isDuplicate(error)) return NameTaken.fail(`The handle ${handle} is or was in use; handles are never used again.`, { noun, name: handle });
        throw error;
      }
      const user = shown(await present(tx, id));
      await emit(tx, userCreated, { objectId: id, data: { user }, ctx });
      return user;
    });
  }

  async get({ userId }: InputOf<typeof getUser>, ctx: BusContext): Promise<Result<UserObject>> {
    const user = allowed(whoOf(ctx), 'user.read', await findUser(this.db, userId), { noun, id: userId, read: 'user.read' });
    return user.ok ? ok(shown(user.value)) : user;
  }

  async list(input: InputOf<typeof listUsers>, ctx: BusContext): Promise<Result<ReplyOf<typeof listUsers>>> {
    const page = await pageOfUsers(this.db, { input, filter: accessFilter(whoOf(ctx), 'user.read', { id: 'u.id' }) });
    return page.ok ? ok({ items: page.value.rows, next: page.value.next }) : page;
  }

  update(input: InputOf<typeof updateUser>, ctx: BusContext): Promise<Result<UserObject>> {
    const { userId, version } = input;
    return this.andTell(runCommand(this.db, { ctx, operation: updateUser, input }, async (tx) => {
      await lockAdministrators(tx);
      const found = await mine(tx, userId, ctx);
      if (!found.ok) return found;
      const before = found.value;
      if (version !== undefined && version !== before.version) return VersionConflict.fail('Somebody changed the user meanwhile.', { expected: version, actual: before.version });
      const disabled = input.disabled ?? before.disabled;
      await changeUser(tx, userId, before.version, { displayName: input.displayName ?? before.displayName, disabled });
      if (disabled && !before.disabled) {
        const kept = await keepAnAdministrator(tx, userId);
        if (!kept.ok) return kept;
        await shutOut(tx, userId, 'user-disabled');
      }
      await emit(tx, userChanged, { objectId: userId, data: { userId, what: disabled === before.disabled ? 'user' : disabled ? 'disabled' : 'enabled' }, ctx });
      return shown(await present(tx, userId));
    }));
  }

  delete(input: InputOf<typeof deleteUser>, ctx: BusContext): Promise<Result<Record<string, never>>> {
    const { userId } = input;
    return this.andTell(runCommand(this.db, { ctx, operation: deleteUser, input }, async (tx) => {
      await lockAdministrators(tx);
      const found = await mine(tx, userId, ctx);
      if (!found.ok) return found;
      await buryUser(tx, userId);
      const kept = await keepAnAdministrator(tx, userId);
      if (!kept.ok) return kept;
      await deleteGrants(tx, { sql: 'user_id = ?', params: [userId] });
      await removeApiTokensOf(tx, userId);
      await shutOut(tx, userId, 'user-deleted');
      await emit(tx, userDeleted, { objectId: userId, data: { userId }, ctx });
      return {};
    }));
  }

  async setPassword(input: InputOf<typeof setPassword>, ctx: BusContext): Promise<Result<ReplyOf<typeof setPassword>>> {
    const own = ctx.actor?.userId === input.userId;
    const allowedTo = own ? await this.knowsPassword(input) : await this.maySetPasswordOf(input.userId, ctx);
    if (!allowedTo.ok) return allowedTo;
    const hash = await hashPassword(input.newPassword);
    const recorded = this.withoutPassword(this.withoutPassword(input, 'newPassword'), 'currentPassword');
    return this.andTell(runCommand(this.db, { ctx, operation: setPassword, input: recorded }, async (tx) => {
      const user = await lockUser(tx, input.userId);
      if (user === undefined) return missing(input.userId);
      // Somebody set another one between the check and now.
      if (own && user.passwordHash !== allowedTo.value) return BadCredentials.fail('The current password is wrong.');
      await changePassword(tx, input.userId, hash, !own);
      await shutOut(tx, input.userId, 'password-set');
      await emit(tx, userChanged, { objectId: input.userId, data: { userId: input.userId, what: 'password' }, ctx });
      return {};
    }));
  }

  /** Who has lost his keys on the bus is off it when the answer leaves. */
  private async andTell<T>(work: Promise<Result<T>>): Promise<Result<T>> {
    const done = await work;
    if (done.ok) await this.revocations.tell();
    return done;
  }

  /** Answers the hash that the current password fits. Guessing here counts like guessing at the sign-in. */
  private async knowsPassword({ userId, currentPassword, newPassword }: InputOf<typeof setPassword>): Promise<Result<string>> {
    const user = await findUser(this.db, userId);
    if (user === undefined) return missing(userId);
    const attempt = { account: user.handle, address: undefined };
    const counted = await countTry(this.db, attempt);
    if (!counted.ok) return counted;
    // A repeated request finds its own new password in force; the record of the first one answers it.
    if (!(await fitsPassword(currentPassword ?? '', user.passwordHash)) && !(await fitsPassword(newPassword, user.passwordHash))) return BadCredentials.fail('The current password is wrong.');
    await takeBackTry(this.db, attempt);
    return ok(user.passwordHash);
  }

  private async maySetPasswordOf(userId: UserId, ctx: BusContext): Promise<Result<string>> {
    const found = await mine(this.db, userId, ctx);
    return found.ok ? ok(found.value.passwordHash) : found;
  }

  /** The input as it is recorded: a fast hash of a password must not lie in the database. */
  private withoutPassword<I extends Partial<Record<K, string | undefined>>, K extends string>(input: I, member: K): I {
    const given = input[member];
    return given === undefined ? input : { ...input, [member]: derive(this.master, 'command-body', given) };
  }
}

/** Ends what lets the user in besides his password and his API tokens. */
async function shutOut(tx: Queryable, userId: string, reason: string): Promise<void> {
  await endSessionsOf(tx, userId, reason);
  await revokeCredentialsOf(tx, userId);
}

const missing = (id: string): Result<never> => NotFound.fail('There is no user with this id.', { noun, id });

async function present(db: Queryable, id: string): Promise<StoredUser> {
  const user = await findUser(db, id);
  if (user === undefined) throw new Error('a user vanished in the transaction that wrote him');
  return user;
}

/** The user, if the caller may change him: the right, and no fewer rights than he has. */
async function mine(db: EntityManager | DataSource, userId: UserId, ctx: BusContext): Promise<Result<StoredUser>> {
  const who = whoOf(ctx);
  const found = allowed(who, 'user.write', await findUser(db, userId), { noun, id: userId, read: 'user.read' });
  if (!found.ok || who === 'system' || who.userId === userId) return found;
  const permission = await beyond(db, who.userId, userId);
  return permission === undefined ? found : PermissionDenied.fail(`This user has a right that you lack: ${permission}.`, { permission });
}

const beyond = async (db: Queryable, userId: string, otherId: string): Promise<Permission | undefined> => uncovered(await rightsOf(db, userId), await rightsOf(db, otherId));
