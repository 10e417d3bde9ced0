// Placement: which host takes a VM, with a reason for each that does not; the claims that hold capacity.
import { z } from 'zod';
import { defineCommand, defineEvent, defineQuery } from '../define.ts';
import { HostUnreachable, NoCapacity, NotFound } from '../errors.ts';
import { ClaimId, ClusterId, HostId, VmId } from '../ids.ts';
import { listInput, searchInput } from '../list.ts';
import { At, Bytes, Done, MemoryBytes, pageOf } from '../values.ts';

export const Demand = z.strictObject({
  vcpus: z.int().min(1).max(512), memoryBytes: MemoryBytes,
  cpuReservedMhz: z.int().min(0).default(0).describe('guaranteed to it, never over-committed'), memoryReservedBytes: Bytes.default(0).describe('guaranteed to it, never over-committed'),
});
/** A host set that some part of the VM confines it to, with the words for the refusal. `hostIds` null = no confinement. */
export const Confinement = z.strictObject({ reason: z.enum(['datastore', 'network', 'hardware', 'pinned']), text: z.string().max(300), hostIds: z.array(HostId).nullable() });
export const placementRequest = { clusterId: ClusterId, demand: Demand, confinements: z.array(Confinement).max(64).default([]), preferHostId: HostId.nullable().default(null) };
/** `cpu`, `memory` = what the cluster’s over-commit ratio allows is used up; `cpu-reservation`, `memory-reservation` = what the host has is reserved. */
export const RefusalReason = z.enum(['other-cluster', 'not-connected', 'maintenance', 'cpu', 'memory', 'cpu-reservation', 'memory-reservation', 'datastore', 'network', 'hardware', 'pinned']);
export const Refusal = z.strictObject({ hostId: HostId, hostName: z.string(), reason: RefusalReason, text: z.string() });
export const Claim = z.strictObject({ id: ClaimId, vmId: VmId, hostId: HostId, vcpus: z.int(), memoryBytes: Bytes, cpuReservedMhz: z.int().default(0), memoryReservedBytes: Bytes.default(0), createdAt: At }).meta({ id: 'Claim' });

export const claimPlacement = defineCommand('scheduler.placement.claim', {
  dryRun: true,
  summary: 'Choose a host and hold its capacity for a VM; a VM that has a claim keeps it if it still fits', permission: 'internal',
  input: z.strictObject({ vmId: VmId, ...placementRequest }), reply: z.strictObject({ claim: Claim, refusals: z.array(Refusal) }), errors: [NoCapacity, HostUnreachable],
});
export const resizeClaim = defineCommand('scheduler.claim.resize', {
  summary: 'Change what a claim reserves, on the host where it is; less is never refused', permission: 'internal',
  input: z.strictObject({ vmId: VmId, cpuReservedMhz: z.int().min(0), memoryReservedBytes: Bytes }), reply: Claim, errors: [NotFound, NoCapacity],
});
export const releaseClaim = defineCommand('scheduler.claim.release', { dryRun: true, summary: 'Give a VM’s capacity back; without a claim nothing happens', permission: 'internal', input: z.strictObject({ vmId: VmId }), reply: Done });
export const explainPlacement = defineQuery('scheduler.placement.explain', {
  summary: 'Where a VM of this size could go, and why not elsewhere; nothing is held', http: 'POST /v1/placements/explain', permission: 'placement.read',
  input: z.strictObject(placementRequest), reply: z.strictObject({ candidates: z.array(z.strictObject({ hostId: HostId, hostName: z.string(), score: z.number() })), refusals: z.array(Refusal) }),
});
export const listClaims = defineQuery('scheduler.claim.list', { summary: 'List the claims on hosts', http: 'GET /v1/claims', permission: 'placement.read', input: z.strictObject({ ...listInput(Claim, ['createdAt']), hostId: HostId.optional(), vmId: VmId.optional() }), reply: pageOf(Claim) });
export const HostCapacity = z.strictObject({
  hostId: HostId, hostName: z.string(), vcpus: z.int().describe('with the cluster’s ratio'), vcpusClaimed: z.int(), memoryBytes: Bytes.describe('with the cluster’s ratio'), memoryClaimedBytes: Bytes,
  cpuMhz: z.int().default(0).describe('what can be reserved: what the host has'), cpuReservedMhz: z.int().default(0),
  memoryPhysicalBytes: Bytes.default(0).describe('what can be reserved: what the host has for VMs'), memoryReservedBytes: Bytes.default(0),
}).meta({ id: 'HostCapacity' });
export const listCapacity = defineQuery('scheduler.capacity.list', { summary: 'Capacity and claims per host', http: 'GET /v1/capacity', permission: 'placement.read', input: z.strictObject({ ...listInput(HostCapacity, ['hostName']), ...searchInput(), clusterId: ClusterId.optional() }), reply: pageOf(HostCapacity) });

export const claimChanged = defineEvent('scheduler.claim.changed', { summary: 'Capacity was claimed or given back', data: z.strictObject({ claim: Claim, gone: z.boolean() }) });
