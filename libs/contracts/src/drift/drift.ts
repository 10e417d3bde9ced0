// Findings: differences between what a service has written down and what is there. Their owners find and keep them; monitoring
// has the view of all, and passes on what a person decides.
import { z } from 'zod';
import { defineCommand, defineEvent, defineQuery, type ServiceName } from '../define.ts';
import { Busy, ConfirmationNeeded, HostCommandFailed, HostUnreachable, InUse, NotFound, WrongState } from '../errors.ts';
import { FindingId, HostId } from '../ids.ts';
import { listInput, searchInput } from '../list.ts';
import { At, pageOf, queryFlag } from '../values.ts';
import { driftKindNames } from './kinds.ts';

export const driftServices = ['compute', 'storage', 'network', 'templates', 'scheduler'] as const satisfies readonly ServiceName[];
export type DriftService = (typeof driftServices)[number];

/**
 * `found` = certain, and not put right (yet); `quarantined` = kept apart until `expiresAt`; `expired` = kept for longer than that, and
 * still there; the others are closed: `repaired`, `cleared` = it went away by itself, `dismissed` = somebody says that it is right so.
 */
export const driftStates = ['found', 'quarantined', 'expired', 'repaired', 'cleared', 'dismissed'] as const;
export const DriftState = z.enum(driftStates);
export type DriftState = z.infer<typeof DriftState>;
export const openDriftStates: readonly DriftState[] = ['found', 'quarantined', 'expired'];
export const DriftKindName = z.enum(driftKindNames);

export const DriftFinding = z.strictObject({
  id: FindingId, service: z.enum(driftServices), kind: DriftKindName, state: DriftState,
  object: z.strictObject({ noun: z.string(), id: z.string(), name: z.string().nullable() }),
  hostId: HostId.nullable().describe('where it is; null = in the service’s own rows, or on a shared datastore'),
  text: z.string().describe('what differs'),
  would: z.string().describe('what is done about it, or would be by `repair`'),
  reason: z.string().nullable().describe('why it is not put right, or not kept apart'),
  final: z.boolean().describe('a repair cannot be taken back, and must be confirmed'),
  evidence: z.record(z.string(), z.unknown()).describe('what two looks in a row have seen alike'),
  looks: z.int().describe('how often it was seen'), repairs: z.int().describe('how often it was put right and came back'),
  firstSeenAt: At, lastSeenAt: At.describe('as last told; `drift get` asks'), stateSince: At, expiresAt: At.nullable(), version: z.int(),
}).meta({ id: 'DriftFinding' });
export type DriftFinding = z.infer<typeof DriftFinding>;

const one = z.strictObject({ findingId: FindingId });
const firm = z.strictObject({ findingId: FindingId, confirm: z.boolean().default(false).describe('yes, although it cannot be taken back') });
const refusals = [NotFound, WrongState];
const onHosts = [...refusals, InUse, Busy, HostUnreachable, HostCommandFailed];

/** What each owner answers about its findings; internal, the public face is monitoring's. */
export const driftOperations = <S extends DriftService>(service: S) => ({
  get: defineQuery(`${service}.drift.get`, { summary: `One finding of ${service}`, permission: 'internal', input: one, reply: DriftFinding, errors: [NotFound] }),
  repair: defineCommand(`${service}.drift.repair`, { summary: `Put a finding of ${service} right now`, permission: 'internal', timeoutMs: 30_000, input: firm, reply: DriftFinding, errors: [...onHosts, ConfirmationNeeded] }),
  dismiss: defineCommand(`${service}.drift.dismiss`, { summary: `Leave a finding of ${service} as it is`, permission: 'internal', input: one, reply: DriftFinding, errors: refusals }),
  release: defineCommand(`${service}.drift.release`, { summary: `Put back what ${service} has kept apart`, permission: 'internal', timeoutMs: 30_000, input: one, reply: DriftFinding, errors: onHosts }),
});
export const driftChanged = <S extends DriftService>(service: S) =>
  defineEvent(`${service}.drift.changed`, { summary: `${service} found a difference, put it right, or it went away`, data: z.strictObject({ finding: DriftFinding }) });

export const listDrift = defineQuery('monitoring.drift.list', {
  summary: 'List differences between what the pool has written down and what is there', http: 'GET /v1/drift', permission: 'drift.read',
  input: z.strictObject({
    ...listInput(DriftFinding, ['firstSeenAt', 'state', 'kind'], '-firstSeenAt'), ...searchInput('part of the object’s id or name'),
    state: DriftState.optional(), open: queryFlag.optional().describe('only those that are found, quarantined or expired; or only the others'), kind: DriftKindName.optional(), service: z.enum(driftServices).optional(), hostId: HostId.optional(),
  }), reply: pageOf(DriftFinding),
});
export const getDrift = defineQuery('monitoring.drift.get', { summary: 'Show a difference with its evidence, as its owner sees it now', http: 'GET /v1/drift/:findingId', permission: 'drift.read', input: one, reply: DriftFinding, errors: [NotFound] });
export const repairDrift = defineCommand('monitoring.drift.repair', {
  summary: 'Put a difference right now; what cannot be taken back must be confirmed', http: 'POST /v1/drift/:findingId/repair', permission: 'drift.write', timeoutMs: 35_000, input: firm, reply: DriftFinding, errors: [...onHosts, ConfirmationNeeded],
});
export const dismissDrift = defineCommand('monitoring.drift.dismiss', { summary: 'Leave a difference as it is: it is right so', http: 'POST /v1/drift/:findingId/dismiss', permission: 'drift.write', input: one, reply: DriftFinding, errors: refusals });
export const releaseDrift = defineCommand('monitoring.drift.release', { summary: 'Put back what was kept apart, and leave it there', http: 'POST /v1/drift/:findingId/release', permission: 'drift.write', timeoutMs: 35_000, input: one, reply: DriftFinding, errors: onHosts });
