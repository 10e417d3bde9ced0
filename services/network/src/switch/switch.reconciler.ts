// Brings hosts that were away, were restarted or had failed to what their switches say.
import type { Reconciler } from '#service';
import type { DataSource } from 'typeorm';
import type { SwitchService } from './switch.service.ts';
import { dropBuried, retryFailed } from './switch.store.ts';

const retryAfterSeconds = 60;

export const switchReconciler = (db: DataSource, switches: SwitchService): Reconciler => ({
  name: 'switches-on-hosts',
  everyMs: 3_000,
  run: async () => {
    await retryFailed(db, retryAfterSeconds);
    await switches.applyDue();
    await dropBuried(db);
  },
});
