// The providers of auth. What the service cannot work without is made here, before the first request: the master key,
// the built-in roles, the signing keys and, on a new site, the first administrator.
import { join } from 'node:path';
import { Module } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import type { AuthConfig } from '#config';
import { Config, Db, Log } from '#service';
import type { Logger } from '#telemetry';
import { GrantCommands } from './src/grant/grant.commands.ts';
import { GrantHandlers } from './src/grant/grant.handlers.ts';
import { KeyHandlers } from './src/keys/key.handlers.ts';
import { KeyRing } from './src/keys/key-ring.store.ts';
import type { MasterKey } from './src/keys/seal.ts';
import { masterKey } from './src/keys/secret-file.store.ts';
import { RoleCommands } from './src/role/role.commands.ts';
import { RoleHandlers } from './src/role/role.handlers.ts';
import { seedRoles } from './src/role/role.store.ts';
import { ResolveCommands } from './src/session/resolve.commands.ts';
import { SessionCommands } from './src/session/session.commands.ts';
import { SessionHandlers } from './src/session/session.handlers.ts';
import { TokenCommands } from './src/token/token.commands.ts';
import { TokenHandlers } from './src/token/token.handlers.ts';
import { Master, Seeded } from './src/tokens.ts';
import { ensureFirstAdmin } from './src/user/first-admin.store.ts';
import { UserCommands } from './src/user/user.commands.ts';
import { UserHandlers } from './src/user/user.handlers.ts';

async function seed(db: DataSource, config: AuthConfig, log: Logger): Promise<true> {
  await seedRoles(db);
  await ensureFirstAdmin(db, config.TOK_ADMIN_PASSWORD_FILE ?? join(config.TOK_DATA_DIR, 'first-admin.json'), log);
  return true;
}

@Module({
  controllers: [SessionHandlers, KeyHandlers, UserHandlers, RoleHandlers, GrantHandlers, TokenHandlers],
  providers: [
    { provide: Master, inject: [Config], useFactory: ({ TOK_DATA_DIR }: AuthConfig) => masterKey(TOK_DATA_DIR) },
    { provide: KeyRing, inject: [Db, Master, Log], useFactory: (db: DataSource, master: MasterKey, log: Logger) => KeyRing.open(db, master, log) },
    { provide: Seeded, inject: [Db, Config, Log], useFactory: seed },
    SessionCommands, ResolveCommands, UserCommands, RoleCommands, GrantCommands, TokenCommands,
  ],
})
export class AuthModule {}
