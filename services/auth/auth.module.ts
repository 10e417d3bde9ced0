// The providers of auth. What the service cannot work without is made here, before the first request: the master key,
// the built-in roles, the signing keys and, on a new site, the first administrator.
import { join } from 'node:path';
import { Module } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import type { BusAuthority } from '#bus';
import { openBusAuthority } from '#bus';
import type { AuthConfig } from '#config';
import { Config, Db, Log, masterKey } from '#service';
import type { Logger } from '#telemetry';
import { guardAuditLog } from './src/audit/audit-guard.store.ts';
import { AuditHandlers } from './src/audit/audit.handlers.ts';
import { BusCredentialCommands } from './src/bus-credential/bus-credential.commands.ts';
import { BusCredentialHandlers } from './src/bus-credential/bus-credential.handlers.ts';
import { Revocations } from './src/bus-credential/revocation.reconciler.ts';
import { GrantCommands } from './src/grant/grant.commands.ts';
import { GrantHandlers } from './src/grant/grant.handlers.ts';
import { KeyHandlers } from './src/keys/key.handlers.ts';
import { KeyRing } from './src/keys/key-ring.store.ts';
import type { MasterKey } from './src/keys/seal.ts';
import { RoleCommands } from './src/role/role.commands.ts';
import { RoleHandlers } from './src/role/role.handlers.ts';
import { seedRoles } from './src/role/role.store.ts';
import { ResolveCommands } from './src/session/resolve.commands.ts';
import { SessionCommands } from './src/session/session.commands.ts';
import { SessionHandlers } from './src/session/session.handlers.ts';
import { TokenCommands } from './src/token/token.commands.ts';
import { TokenHandlers } from './src/token/token.handlers.ts';
import { Authority, BusServers, Master, Seeded } from './src/tokens.ts';
import { ensureFirstAdmin } from './src/user/first-admin.store.ts';
import { UserCommands } from './src/user/user.commands.ts';
import { UserHandlers } from './src/user/user.handlers.ts';

async function seed(db: DataSource, config: AuthConfig, log: Logger): Promise<true> {
  await guardAuditLog(db, log);
  await seedRoles(db);
  await ensureFirstAdmin(db, config.TOK_ADMIN_PASSWORD_FILE ?? join(config.TOK_DATA_DIR, 'first-admin.json'), log);
  return true;
}

const authorityOf = ({ TOK_BUS_AUTHORITY_FILE: file, TOK_NATS_URL: url }: AuthConfig, log: Logger): Promise<BusAuthority> | null =>
  (file === undefined ? null : openBusAuthority({ file, url, log }));

@Module({
  controllers: [AuditHandlers, BusCredentialHandlers, SessionHandlers, KeyHandlers, UserHandlers, RoleHandlers, GrantHandlers, TokenHandlers],
  providers: [
    { provide: Master, inject: [Config], useFactory: ({ TOK_DATA_DIR }: AuthConfig) => masterKey(TOK_DATA_DIR) },
    { provide: KeyRing, inject: [Db, Master, Log], useFactory: (db: DataSource, master: MasterKey, log: Logger) => KeyRing.open(db, master, log) },
    { provide: Seeded, inject: [Db, Config, Log], useFactory: seed },
    { provide: Authority, inject: [Config, Log], useFactory: authorityOf },
    { provide: BusServers, inject: [Config], useFactory: ({ TOK_BUS_PUBLIC_URL, TOK_NATS_URL }: AuthConfig) => (TOK_BUS_PUBLIC_URL ?? TOK_NATS_URL).split(',') },
    { provide: Revocations, inject: [Db, Authority, Log], useFactory: (db: DataSource, authority: BusAuthority | null, log: Logger) => new Revocations(db, authority, log) },
    BusCredentialCommands, SessionCommands, ResolveCommands, UserCommands, RoleCommands, GrantCommands, TokenCommands,
  ],
})
export class AuthModule {}
