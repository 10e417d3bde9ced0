// Site, clusters and hosts.
import { z } from 'zod';
import { defineCommand, defineEvent, defineQuery } from '../define.ts';
import { AlreadyExists, InUse, NameTaken, NotFound, VersionConflict } from '../errors.ts';
import { ClusterId, HostId, SiteId } from '../ids.ts';
import { listInput, searchInput } from '../list.ts';
import { At, Description, Done, Name, objectFields, pageOf } from '../values.ts';
import { HostInventory, UnmanagedVm } from '../host/shapes.ts';

const HoldMs = z.int().min(0).max(365 * 86_400_000);
export const Site = z.strictObject({ id: SiteId, name: Name, recycleHoldMs: HoldMs.describe('how long deleted VMs stay in the recycle bin where their cluster says nothing; 0 = there is no bin'), ...objectFields }).meta({ id: 'Site' });
export const getSite = defineQuery('compute.site.get', { summary: 'Show the site', http: 'GET /v1/site', permission: 'site.read', input: z.strictObject({}), reply: Site });
export const updateSite = defineCommand('compute.site.update', { summary: 'Rename the site, or set how long its recycle bin holds VMs', http: 'PATCH /v1/site', permission: 'site.write', input: z.strictObject({ name: Name.optional(), recycleHoldMs: HoldMs.optional(), version: z.int().optional() }), reply: Site, errors: [VersionConflict] });

export const Cluster = z.strictObject({ id: ClusterId, siteId: SiteId, name: Name, description: Description, cpuOvercommit: z.number(), memoryOvercommit: z.number(), recycleHoldMs: HoldMs.nullable().describe('null = as the site says'), hosts: z.int(), vms: z.int(), ...objectFields }).meta({ id: 'Cluster' });
const ratios = { cpuOvercommit: z.number().min(1).max(64).describe('vCPUs per logical CPU'), memoryOvercommit: z.number().min(1).max(4) };
export const createCluster = defineCommand('compute.cluster.create', { dryRun: true, summary: 'Make a cluster', http: 'POST /v1/clusters', permission: 'cluster.write', input: z.strictObject({ name: Name, description: Description.default(''), cpuOvercommit: ratios.cpuOvercommit.default(8), memoryOvercommit: ratios.memoryOvercommit.default(1) }), reply: Cluster, errors: [NameTaken] });
export const listClusters = defineQuery('compute.cluster.list', { summary: 'List clusters', http: 'GET /v1/clusters', permission: 'cluster.read', input: z.strictObject({ ...listInput(Cluster, ['name', 'createdAt']), ...searchInput(), name: Name.optional() }), reply: pageOf(Cluster) });
export const getCluster = defineQuery('compute.cluster.get', { summary: 'Show a cluster', http: 'GET /v1/clusters/:clusterId', permission: 'cluster.read', on: 'clusterId', input: z.strictObject({ clusterId: ClusterId }), reply: Cluster, errors: [NotFound] });
export const updateCluster = defineCommand('compute.cluster.update', { dryRun: true, summary: 'Change a cluster', http: 'PATCH /v1/clusters/:clusterId', permission: 'cluster.write', on: 'clusterId', input: z.strictObject({ clusterId: ClusterId, name: Name.optional(), description: Description.optional(), cpuOvercommit: ratios.cpuOvercommit.optional(), memoryOvercommit: ratios.memoryOvercommit.optional(), recycleHoldMs: HoldMs.nullable().optional(), version: z.int().optional() }), reply: Cluster, errors: [NotFound, NameTaken, VersionConflict] });
export const deleteCluster = defineCommand('compute.cluster.delete', { dryRun: true, summary: 'Delete an empty cluster', http: 'DELETE /v1/clusters/:clusterId', permission: 'cluster.write', on: 'clusterId', input: z.strictObject({ clusterId: ClusterId }), reply: Done, errors: [NotFound, InUse] });

/** `awaiting` = registered, the agent has not joined yet; `not-responding` = its heartbeat is missing. */
export const HostState = z.enum(['awaiting', 'connected', 'not-responding']);
export const Host = z.strictObject({
  id: HostId, clusterId: ClusterId, name: Name, state: HostState, maintenance: z.boolean(), stateSince: At, reason: z.string().nullable(),
  inventory: HostInventory.nullable(), vms: z.int(), unmanaged: z.array(UnmanagedVm), ...objectFields,
}).meta({ id: 'Host' });
export type Host = z.infer<typeof Host>;
export const registerHost = defineCommand('compute.host.create', {
  summary: 'Register a host under the id its credentials carry; its agent then joins by itself', http: 'POST /v1/hosts', permission: 'host.write',
  input: z.strictObject({ hostId: HostId, name: Name, clusterId: ClusterId }), reply: Host, errors: [NameTaken, AlreadyExists, NotFound],
});
export const listHosts = defineQuery('compute.host.list', { summary: 'List hosts', http: 'GET /v1/hosts', permission: 'host.read', input: z.strictObject({ ...listInput(Host, ['name', 'createdAt', 'state']), ...searchInput(), name: Name.optional(), clusterId: ClusterId.optional(), state: HostState.optional() }), reply: pageOf(Host) });
export const getHost = defineQuery('compute.host.get', { summary: 'Show a host', http: 'GET /v1/hosts/:hostId', permission: 'host.read', on: 'hostId', input: z.strictObject({ hostId: HostId }), reply: Host, errors: [NotFound] });
export const updateHost = defineCommand('compute.host.update', { dryRun: true, summary: 'Rename a host, or keep new VMs off it (maintenance)', http: 'PATCH /v1/hosts/:hostId', permission: 'host.write', on: 'hostId', input: z.strictObject({ hostId: HostId, name: Name.optional(), maintenance: z.boolean().optional(), version: z.int().optional() }), reply: Host, errors: [NotFound, NameTaken, VersionConflict] });
export const removeHost = defineCommand('compute.host.delete', { dryRun: true, summary: 'Remove a host that runs no VM of the pool', http: 'DELETE /v1/hosts/:hostId', permission: 'host.write', on: 'hostId', input: z.strictObject({ hostId: HostId }), reply: Done, errors: [NotFound, InUse] });

export const clusterChanged = defineEvent('compute.cluster.changed', { summary: 'A cluster was made or changed', data: z.strictObject({ cluster: Cluster }) });
export const clusterDeleted = defineEvent('compute.cluster.deleted', { summary: 'A cluster was deleted', data: z.strictObject({ clusterId: ClusterId }) });
export const hostChanged = defineEvent('compute.host.changed', { summary: 'A host was registered, joined, changed its state or its inventory', data: z.strictObject({ host: Host }) });
export const hostDeleted = defineEvent('compute.host.deleted', { summary: 'A host was removed', data: z.strictObject({ hostId: HostId }) });
