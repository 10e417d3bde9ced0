// Keeps the signing keys young, and this replica aware of keys that others have made.
import type { Reconciler } from '#service';
import type { KeyRing } from './key-ring.store.ts';

export const renewKeys = (ring: KeyRing): Reconciler => ({ name: 'signing-keys', everyMs: 60_000, run: () => ring.renew() });
