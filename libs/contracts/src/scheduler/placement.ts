// Placement: which host takes a VM, with a reason for each that does not; the claims that hold capacity.
import { z } from 'zod';
import { defineCommand, defineEvent, defineQuery } from '../define.ts';
import { NoCapacity } from '../errors.ts';
import { ClaimId, ClusterId, HostId, VmId } from '../ids.ts';
import { listInput, searchInput } from '../list.ts';
import { At, Bytes, Done, MemoryBytes, pageOf } from '../values.ts';

export const Demand = z.strictObject({ vcpus: z.int().min(1).max(512), memoryBytes: MemoryBytes });
/** A host set that some part of the VM confines it to, with the words for the refusal. `hostIds` null = no confinement. */
export const Confinement = z.strictObject({ reason: z.enum(['datastore', 'network', 'hardware', 'pinned']), text: z.string().max(300), hostIds: z.array(HostId).nullable() });
export const placementRequest = { clusterId: ClusterId, demand: Demand, confinements: z.array(Confinement).max(64).default([]), preferHostId: HostId.nullable().default(null) };
export const Refusal = z.strictObject({ hostId: HostId, hostName: z.string(), reason: z.enum(['other-cluster', 'not-connected', 'maintenance', 'cpu', 'memory', 'datastore', 'network', 'hardware', 'pinned']), text: z.string() });
export const Claim = z.strictObject({ id: ClaimId, vmId: VmId, hostId: HostId, vcpus: z.int(), memoryBytes: Bytes, createdAt: At }).meta({ id: 'Claim' });

export const claimPlacement = defineCommand('scheduler.placement.claim', {
  summary: 'Choose a host and hold its capacity for a VM; a VM that has a claim keeps it if it still fits', permission: 'internal',
  input: z.strictObject({ vmId: VmId, ...placementRequest }), reply: z.strictObject({ claim: Claim, refusals: z.array(Refusal) }), errors: [NoCapacity],
});
export const releaseClaim = defineCommand('scheduler.claim.release', { summary: 'Give a VM’s capacity back; without a claim nothing happens', permission: 'internal', input: z.strictObject({ vmId: VmId }), reply: Done });
export const explainPlacement = defineQuery('scheduler.placement.explain', {
  summary: 'Where a VM of this size could go, and why not elsewhere; nothing is held', http: 'POST /v1/placements/explain', permission: 'placement.read',
  input: z.strictObject(placementRequest), reply: z.strictObject({ candidates: z.array(z.strictObject({ hostId: HostId, hostName: z.string(), score: z.number() })), refusals: z.array(Refusal) }),
});
export const listClaims = defineQuery('scheduler.claim.list', { summary: 'List the claims on hosts', http: 'GET /v1/claims', permission: 'placement.read', input: z.strictObject({ ...listInput(Claim, ['createdAt']), hostId: HostId.optional(), vmId: VmId.optional() }), reply: pageOf(Claim) });
export const HostCapacity = z.strictObject({ hostId: HostId, hostName: z.string(), vcpus: z.int(), vcpusClaimed: z.int(), memoryBytes: Bytes, memoryClaimedBytes: Bytes }).meta({ id: 'HostCapacity' });
export const listCapacity = defineQuery('scheduler.capacity.list', { summary: 'Capacity and claims per host', http: 'GET /v1/capacity', permission: 'placement.read', input: z.strictObject({ ...listInput(HostCapacity, ['hostName']), ...searchInput(), clusterId: ClusterId.optional() }), reply: pageOf(HostCapacity) });

export const claimChanged = defineEvent('scheduler.claim.changed', { summary: 'Capacity was claimed or given back', data: z.strictObject({ claim: Claim, gone: z.boolean() }) });
