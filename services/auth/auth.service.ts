// What auth runs: its settings, tables, handlers and periodic work.
import { authConfig } from '#config';
import type { DatabaseService } from '#service';
import { AuthModule } from './auth.module.ts';
import { authTables } from './migrations/0001-tables.ts';
import { renewKeys } from './src/keys/key.reconciler.ts';
import { KeyRing } from './src/keys/key-ring.store.ts';
import { purge } from './src/session/purge.reconciler.ts';

export const auth: DatabaseService<typeof authConfig> = {
  name: 'auth',
  config: authConfig,
  module: AuthModule,
  migrations: [authTables],
  reconcilers: ({ db, get }) => [renewKeys(get(KeyRing)), purge(db)],
};
