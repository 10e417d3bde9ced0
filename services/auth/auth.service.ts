// What auth runs: its settings, tables, handlers and periodic work.
import { folderChanged, folderDeleted } from '#contracts';
import { authConfig } from '#config';
import type { DatabaseService } from '#service';
import { AuthModule } from './auth.module.ts';
import { authTables } from './migrations/0001-tables.ts';
import { authFolders } from './migrations/0007-folders.ts';
import { authBusCredentials } from './migrations/0013-bus-credentials.ts';
import { authAudit } from './migrations/0020-audit.ts';
import { auditConsumer } from './src/audit/audit.consumer.ts';
import { auditReconciler } from './src/audit/audit.reconciler.ts';
import { revocationReconciler, Revocations } from './src/bus-credential/revocation.reconciler.ts';
import { forgetFolderView, keepFolderView } from './src/folder/folder-view.store.ts';
import { folderReconciler } from './src/folder/folder.reconciler.ts';
import { renewKeys } from './src/keys/key.reconciler.ts';
import { KeyRing } from './src/keys/key-ring.store.ts';
import type { MasterKey } from './src/keys/seal.ts';
import { Master } from './src/tokens.ts';
import { purge } from './src/session/purge.reconciler.ts';

export const auth: DatabaseService<typeof authConfig> = {
  name: 'auth',
  config: authConfig,
  module: AuthModule,
  migrations: [authTables, authFolders, authBusCredentials, authAudit],
  consumers: ({ get, log }) => [auditConsumer(get<MasterKey>(Master), log), {
    name: 'auth-folders',
    sources: ['compute'],
    filters: [folderChanged.name, folderDeleted.name],
    handle: async (tx, event) => {
      if (event.name === folderDeleted.name) await forgetFolderView(tx, event.objectId);
      else await keepFolderView(tx, folderChanged.data.parse(event.data).folder);
    },
  }],
  reconcilers: ({ db, bus, config, get }) => [auditReconciler(db, get<MasterKey>(Master), config.TOK_AUDIT_KEEP_DAYS), folderReconciler(db, bus), renewKeys(get(KeyRing)), purge(db), revocationReconciler(get(Revocations))],
};
