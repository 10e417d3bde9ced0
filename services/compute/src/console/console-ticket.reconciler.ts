// Tickets that ended long ago go. Takes no input, idempotent.
import type { DataSource } from 'typeorm';
import type { Reconciler } from '#service';
import { purgeTickets } from './console-ticket.store.ts';

export const consoleTicketReconciler = (db: DataSource): Reconciler => ({
  name: 'console-tickets',
  everyMs: 10 * 60_000,
  run: async () => { await purgeTickets(db); },
});
