// Chains what the services have said, each record once: the row and the position behind it are one transaction, and a record
// that comes under the same id again is there already.
import { auditEventNames, services } from '#contracts';
import { dbNow } from '#database';
import { newUuid } from '#kernel';
import type { EventConsumer } from '#tasks';
import type { Logger } from '#telemetry';
import type { MasterKey } from '../keys/seal.ts';
import { gapOf, recordOf } from './audit-record.ts';
import { append } from './audit.store.ts';

export const auditConsumer = (master: MasterKey, log: Pick<Logger, 'error'>): EventConsumer => ({
  name: 'auth-audit',
  sources: services,
  filters: auditEventNames,
  handleAll: (tx, events) => append(tx, master, events.map((event) => {
    const { record, isReadable } = recordOf(event);
    if (!isReadable) log.error({ eventId: event.id, source: event.source }, 'a record for the audit log cannot be read; it is kept as that');
    return record;
  })),
  onLost: async (tx, source, fromSeq, toSeq) => append(tx, master, [gapOf({ id: newUuid(), at: (await dbNow(tx)).toISOString(), source }, fromSeq, toSeq)]),
});
