// The first administrator of a new site. His generated password goes to a file before he exists, so that a start that
// dies in between is finished by the next one with the same password; it is written nowhere else.
import { randomBytes } from 'node:crypto';
import type { DataSource } from 'typeorm';
import { z } from 'zod';
import { userCreated } from '#contracts';
import { nextNumber, transaction } from '#database';
import { newUuid } from '#kernel';
import { readSecret, writeSecretOnce } from '#service';
import { emit } from '#tasks';
import type { Logger } from '#telemetry';
import { administrator, insertGrant } from '../grant/grant.store.ts';
import { findRoleByName } from '../role/role.store.ts';
import { hashPassword } from './password.ts';
import { findUser, hasUsers, insertUser, shown } from './user.store.ts';

const Credentials = z.object({ user: z.string(), password: z.string().min(10) });
const handle = 'admin';

/** Does nothing on a site that has, or had, a user. Replicas wait for each other; one makes him. */
export async function ensureFirstAdmin(db: DataSource, file: string, log: Logger): Promise<void> {
  if (await hasUsers(db)) return;
  await transaction(db, async (tx) => {
    await nextNumber(tx, 'first-admin');
    if (await hasUsers(tx)) return;
    const password = await passwordIn(file);
    const role = await findRoleByName(tx, administrator);
    if (role === undefined) throw new Error('the built-in roles are missing');
    const id = newUuid();
    await insertUser(tx, { id, number: await nextNumber(tx, 'user'), handle, displayName: 'Administrator', passwordHash: await hashPassword(password), mustChangePassword: false });
    await insertGrant(tx, { id: newUuid(), userId: id, roleId: role.id, scope: 'site', scopeId: null });
    const user = await findUser(tx, id);
    if (user !== undefined) await emit(tx, userCreated, { objectId: id, data: { user: shown(user) } });
  });
  log.info({ user: handle, file }, 'the first administrator is made; his password is in the file');
}

async function passwordIn(file: string): Promise<string> {
  const fresh = (): string => `${JSON.stringify({ user: handle, password: randomBytes(18).toString('base64url') })}\n`;
  const text = (await readSecret(file)) ?? (await writeSecretOnce(file, fresh()));
  const read = Credentials.safeParse(parsed(text));
  if (!read.success || read.data.user !== handle) throw new Error(`${file} is in the way: it was to hold the first administrator's password`);
  return read.data.password;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not ours; the caller says so.
    return undefined;
  }
}
