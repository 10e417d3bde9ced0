// Keeps free space, and which hosts see a datastore, near the truth.
import type { Reconciler } from '#service';
import type { DatastoreService } from './datastore.service.ts';

export const datastoreReconciler = (datastores: DatastoreService): Reconciler => ({
  name: 'datastore-capacity',
  everyMs: 15_000,
  run: () => datastores.refresh(),
});
