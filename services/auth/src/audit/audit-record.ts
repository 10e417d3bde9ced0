// From what services say to what the chain keeps, and back. Nothing that comes may hold the chain up: what cannot be read is
// kept as that.
import { AuditFacts } from '#contracts';
import type { AuditEntry, EventEnvelope } from '#contracts';

export type AuditRecord = Omit<AuditEntry, 'seq' | 'hash'>;

const nobody = { door: 'service', actor: null, claimed: null, service: null, address: null, outcome: 'done', code: null, taskId: null, traceId: null, times: 1, since: null } as const;
/** Members that a newer service says and this one does not know are left out. */
const Facts = AuditFacts.strip();

export function recordOf(event: Pick<EventEnvelope, 'id' | 'at' | 'source' | 'data'>): { readonly record: AuditRecord; readonly isReadable: boolean } {
  const { id, at, source, data } = event;
  const facts = Facts.safeParse(data);
  if (facts.success) return { record: { id, at, source, ...facts.data }, isReadable: true };
  return { record: { ...nobody, id, at, source, operation: `${source}.audit.unreadable`, object: { noun: 'event', id } }, isReadable: false };
}

/** Where a service no longer had what it had said: the log says that it has a hole. */
export const gapOf = (about: Pick<AuditRecord, 'id' | 'at' | 'source'>, fromSeq: number, toSeq: number): AuditRecord =>
  ({ ...nobody, ...about, operation: 'auth.audit.gap', object: { noun: 'event', id: `${about.source}:${fromSeq}-${toSeq}` } });

/** A row for reading; one that somebody broke is shown as that, and verifying names it. */
export function readable(text: string): AuditRecord {
  try {
    return JSON.parse(text) as AuditRecord;
  } catch {
    return { ...nobody, id: '', at: new Date(0).toISOString(), source: 'auth', operation: 'auth.audit.unreadable', object: { noun: 'event', id: null } };
  }
}
