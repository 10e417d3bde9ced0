// The audit log: what every service says of each thing that it did or refused, and the chain that auth makes of it. A record
// says who did what to what, never what stood in the body.
import { z } from 'zod';
import { defineEvent, defineQuery, services } from '../define.ts';
import type { ServiceName } from '../define.ts';
import { UserId } from '../ids.ts';
import { listInput } from '../list.ts';
import { At, Handle, pageOf, queryNumber } from '../values.ts';

/** Ways in: REST, a request on the bus, a published command, a console's WebSocket; `service` = one service asked another. */
export const doors = ['rest', 'bus', 'command', 'console', 'service'] as const;
export const Door = z.enum(doors);
export type Door = z.infer<typeof Door>;

/** `done` = it is so; `started` = a task does it (its end is an event); `denied` = nothing happened. */
export const AuditOutcome = z.enum(['done', 'started', 'denied']);

const facts = {
  operation: z.string().max(255).describe('<service>.<noun>.<verb>; * = several, added up'),
  door: Door,
  actor: z.strictObject({ userId: UserId, handle: Handle }).nullable(),
  claimed: z.string().max(64).nullable().describe('the account that somebody named who did not prove that it is his'),
  service: z.string().max(64).nullable().describe('the service that asked on its own behalf'),
  address: z.string().max(64).nullable().describe('where he spoke from, as far as the door knows'),
  object: z.strictObject({ noun: z.string(), id: z.string().max(128).nullable() }),
  outcome: AuditOutcome,
  code: z.string().max(64).nullable().describe('why it was denied'),
  taskId: z.string().max(64).nullable(),
  traceId: z.string().max(64).nullable(),
  times: z.int().min(1).describe('more than 1 = so many denials of the same kind, added up'),
  since: At.nullable().describe('when the first of them was'),
};
export const AuditFacts = z.strictObject(facts).meta({ id: 'AuditFacts' });
export type AuditFacts = z.infer<typeof AuditFacts>;

export const auditRecorded = <S extends ServiceName>(service: S) =>
  defineEvent(`${service}.audit.recorded`, { summary: `${service} did or refused something: for the audit log, and for no user to see`, data: AuditFacts });
export const auditEventNames: readonly string[] = services.map((service) => auditRecorded(service).name);

export const AuditEntry = z.strictObject({
  seq: z.int().describe('place in the chain, without gaps'), id: z.string(), at: At, source: z.string().describe('the service that says so'), ...facts,
  hash: z.string().describe('SHA-256 over the hash before, the place and the record'),
}).meta({ id: 'AuditEntry' });
export type AuditEntry = z.infer<typeof AuditEntry>;

export const listAudit = defineQuery('auth.audit.list', {
  summary: 'Read the audit log: every change and every denial, newest first', http: 'GET /v1/audit', permission: 'audit.read',
  input: z.strictObject({
    ...listInput(AuditEntry, ['seq'], '-seq'),
    actor: z.string().max(64).optional().describe('handle or id of the user'),
    objectId: z.string().max(128).optional(),
    operation: z.string().max(255).optional(),
    outcome: AuditOutcome.optional(),
    door: Door.optional(),
    trace: z.string().max(64).optional().describe('id of the request, as in X-Request-Id'),
    since: At.optional().describe('not before this time'),
    until: At.optional().describe('before this time'),
  }),
  reply: pageOf(AuditEntry),
});

const Link = z.strictObject({ seq: z.int(), hash: z.string() });
export const AuditFlaw = z.strictObject({
  seq: z.int(), flaw: z.enum(['altered', 'missing', 'unsealed', 'head', 'base']), text: z.string(),
}).meta({ id: 'AuditFlaw' });
export type AuditFlaw = z.infer<typeof AuditFlaw>;

export const verifyAudit = defineQuery('auth.audit.verify', {
  summary: 'Check a stretch of the audit log: whether a row was altered, removed, moved or added', http: 'GET /v1/audit/verification', permission: 'audit.read', timeoutMs: 30_000,
  description: 'Checks up to `limit` rows from `from` on and says where to go on. tokctl audit verify goes through all of it',
  input: z.strictObject({
    from: queryNumber(0, 999_999_999).default(0).describe('first place to check; 0 = the oldest that is kept'),
    limit: queryNumber(1, 5_000).default(2_000).describe('rows to check'),
    expect: z.string().regex(/^\d{1,9}:[0-9a-f]{64}$/, '<seq>:<hash>').optional().describe('a row and the hash that it had when it was the newest'),
  }),
  reply: z.strictObject({
    checked: z.int(), next: z.int().nullable().describe('where to go on; null at the end'),
    base: Link.describe('the last row that retention has removed'), head: Link.describe('the newest row; kept elsewhere, it proves later that nothing before it has changed'),
    flaws: z.array(AuditFlaw),
  }),
});
