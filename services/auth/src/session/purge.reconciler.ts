// Removes what nobody needs any more: ended sessions, API tokens, keys on the bus and failures. Losing a run only leaves rows longer.
import type { DataSource } from 'typeorm';
import type { Reconciler } from '#service';
import { purgeCredentials } from '../bus-credential/bus-credential.store.ts';
import { purgeApiTokens } from '../token/token.store.ts';
import { purgeTries } from './lock-out.store.ts';
import { purgeSessions } from './session.store.ts';

export const purge = (db: DataSource): Reconciler => ({
  name: 'purge',
  everyMs: 600_000,
  async run() {
    await purgeSessions(db);
    await purgeApiTokens(db);
    await purgeCredentials(db);
    await purgeTries(db);
  },
});
