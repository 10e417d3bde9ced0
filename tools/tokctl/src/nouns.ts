// What the command line knows about nouns beyond the contracts: how an object is called by name, and what a table of
// them shows. Everything else about a noun follows from its operations.
import type { z } from 'zod';
import { BusCommandId, BusCredentialId, EventFeedId, ClusterId, DatastoreId, FindingId, FolderId, GrantId, HostId, ImageId, PortGroupId, PortId, RoleId, SiteId, SubnetId, SwitchId, TaskId, TemplateId, TokenId, UserId, VmId, VolumeId, WebhookDeliveryId, WebhookId } from '#contracts';

export const nounNames = [
  'vm', 'host', 'site', 'cluster', 'folder', 'datastore', 'volume', 'switch', 'port-group', 'subnet', 'port', 'image', 'template', 'user', 'role', 'grant', 'token', 'bus-credential', 'dead-letter', 'event-feed', 'webhook', 'webhook-delivery', 'drift', 'task',
] as const;
export type NounName = (typeof nounNames)[number];

export interface Column {
  readonly title: string;
  /** Members joined with dots; `[]` = of each item. */
  readonly path: string;
  readonly as?: 'size' | 'age' | 'count' | 'progress' | 'yes' | 'changes';
  /** The value is an id of this noun; its name is shown where it can be found out. */
  readonly ref?: NounName;
  readonly flexible?: boolean;
}

export interface Noun {
  readonly id: z.ZodType;
  /** Operation that lists them and the one that shows one. */
  readonly list: string;
  readonly get?: string;
  /** The member that people call it by; null = by id alone. */
  readonly label: string | null;
  readonly columns: readonly Column[];
}

const name: Column = { title: 'NAME', path: 'name', flexible: true };
const age: Column = { title: 'AGE', path: 'createdAt', as: 'age' };
const ofHost: Column = { title: 'HOST', path: 'hostId', ref: 'host' };

export const nouns: Readonly<Record<NounName, Noun>> = {
  vm: {
    id: VmId, list: 'compute.vm.list', get: 'compute.vm.get', label: 'name',
    columns: [name, { title: 'STATE', path: 'status.state' }, { title: 'HOST', path: 'status.hostId', ref: 'host' }, { title: 'IP', path: 'spec.nics[].ip', flexible: true }, { title: 'CPU', path: 'spec.cpu.cores' }, { title: 'MEMORY', path: 'spec.memoryBytes', as: 'size' }, age],
  },
  host: {
    id: HostId, list: 'compute.host.list', get: 'compute.host.get', label: 'name',
    columns: [name, { title: 'STATE', path: 'state' }, { title: 'CLUSTER', path: 'clusterId', ref: 'cluster' }, { title: 'VMS', path: 'vms' }, { title: 'UNMANAGED', path: 'unmanaged', as: 'count' }, { title: 'CPUS', path: 'inventory.cpu.logical' }, { title: 'MEMORY', path: 'inventory.memoryBytes', as: 'size' }, { title: 'ACCEL', path: 'inventory.accelerator' }, { title: 'MAINTENANCE', path: 'maintenance', as: 'yes' }, { title: 'SINCE', path: 'stateSince', as: 'age' }],
  },
  site: { id: SiteId, list: 'compute.site.get', get: 'compute.site.get', label: null, columns: [name, { title: 'ID', path: 'id' }] },
  cluster: {
    id: ClusterId, list: 'compute.cluster.list', get: 'compute.cluster.get', label: 'name',
    columns: [name, { title: 'HOSTS', path: 'hosts' }, { title: 'VMS', path: 'vms' }, { title: 'CPU-RATIO', path: 'cpuOvercommit' }, { title: 'MEMORY-RATIO', path: 'memoryOvercommit' }, { title: 'DESCRIPTION', path: 'description', flexible: true }],
  },
  folder: {
    id: FolderId, list: 'compute.folder.list', get: 'compute.folder.get', label: 'name',
    columns: [name, { title: 'IN', path: 'parentId', ref: 'folder' }, { title: 'FOLDERS', path: 'folders' }, { title: 'VMS', path: 'vms' }, { title: 'DESCRIPTION', path: 'description', flexible: true }],
  },
  datastore: {
    id: DatastoreId, list: 'storage.datastore.list', get: 'storage.datastore.get', label: 'name',
    columns: [name, { title: 'SCOPE', path: 'scope' }, { title: 'HOSTS', path: 'hosts', as: 'count' }, { title: 'FREE', path: 'freeBytes', as: 'size' }, { title: 'TOTAL', path: 'totalBytes', as: 'size' }, { title: 'PROVISIONED', path: 'provisionedBytes', as: 'size' }, { title: 'PATH', path: 'path', flexible: true }],
  },
  volume: {
    id: VolumeId, list: 'storage.volume.list', get: 'storage.volume.get', label: 'name',
    columns: [name, { title: 'STATE', path: 'state' }, { title: 'USE', path: 'use' }, { title: 'SIZE', path: 'sizeBytes', as: 'size' }, { title: 'ALLOCATED', path: 'allocatedBytes', as: 'size' }, { title: 'DATASTORE', path: 'datastoreId', ref: 'datastore' }, { title: 'VM', path: 'attachedTo', ref: 'vm', flexible: true }],
  },
  switch: {
    id: SwitchId, list: 'network.switch.list', get: 'network.switch.get', label: 'name',
    columns: [name, { title: 'MTU', path: 'mtu' }, { title: 'HOSTS', path: 'hosts', as: 'count' }, { title: 'STATES', path: 'hosts[].state', flexible: true }, age],
  },
  'port-group': {
    id: PortGroupId, list: 'network.port-group.list', get: 'network.port-group.get', label: 'name',
    columns: [name, { title: 'SWITCH', path: 'switchId', ref: 'switch' }, { title: 'VLAN', path: 'vlan' }, { title: 'PORTS', path: 'ports' }, { title: 'DESCRIPTION', path: 'description', flexible: true }],
  },
  subnet: {
    id: SubnetId, list: 'network.subnet.list', get: 'network.subnet.get', label: 'name',
    columns: [name, { title: 'PORT-GROUP', path: 'portGroupId', ref: 'port-group' }, { title: 'CIDR', path: 'cidr' }, { title: 'GATEWAY', path: 'gateway' }, { title: 'USED', path: 'addresses.used' }, { title: 'TOTAL', path: 'addresses.total' }],
  },
  port: {
    id: PortId, list: 'network.port.list', label: null,
    columns: [{ title: 'VM', path: 'vmId', ref: 'vm', flexible: true }, { title: 'MAC', path: 'mac' }, { title: 'IP', path: 'ip' }, { title: 'PORT-GROUP', path: 'portGroupId', ref: 'port-group' }],
  },
  image: {
    id: ImageId, list: 'templates.image.list', get: 'templates.image.get', label: 'name',
    columns: [name, { title: 'STATE', path: 'state' }, { title: 'FORMAT', path: 'format' }, { title: 'UPLOADED', path: 'sizeBytes', as: 'size' }, { title: 'VIRTUAL', path: 'virtualBytes', as: 'size' }, { title: 'REASON', path: 'reason', flexible: true }, age],
  },
  template: {
    id: TemplateId, list: 'templates.template.list', get: 'templates.template.get', label: 'name',
    columns: [name, { title: 'IMAGE', path: 'imageId', ref: 'image' }, { title: 'CPU', path: 'hardware.cpu.cores' }, { title: 'MEMORY', path: 'hardware.memoryBytes', as: 'size' }, { title: 'DISK', path: 'diskBytes', as: 'size' }, { title: 'FIRMWARE', path: 'hardware.firmware' }],
  },
  user: {
    id: UserId, list: 'auth.user.list', get: 'auth.user.get', label: 'handle',
    columns: [{ title: 'USER', path: 'handle' }, { title: 'NAME', path: 'displayName', flexible: true }, { title: 'DISABLED', path: 'disabled', as: 'yes' }, { title: 'LAST-LOGIN', path: 'lastLoginAt', as: 'age' }],
  },
  role: { id: RoleId, list: 'auth.role.list', get: 'auth.role.get', label: 'name', columns: [name, { title: 'BUILTIN', path: 'builtin', as: 'yes' }, { title: 'PERMISSIONS', path: 'permissions', flexible: true }] },
  grant: { id: GrantId, list: 'auth.grant.list', label: null, columns: [{ title: 'ID', path: 'id' }, { title: 'USER', path: 'userId', ref: 'user' }, { title: 'ROLE', path: 'roleName' }, { title: 'SCOPE', path: 'scope' }, { title: 'OBJECT', path: 'scopeId' }] },
  token: { id: TokenId, list: 'auth.token.list', label: 'name', columns: [name, { title: 'ID', path: 'id' }, { title: 'EXPIRES', path: 'expiresAt' }, { title: 'LAST-USED', path: 'lastUsedAt', as: 'age' }] },
  'dead-letter': { id: BusCommandId, list: 'gateway.dead-letter.list', get: 'gateway.dead-letter.get', label: null, columns: [{ title: 'ID', path: 'id' }, { title: 'USER', path: 'user' }, { title: 'OPERATION', path: 'operation' }, { title: 'CODE', path: 'error.code' }, { title: 'REFUSED', path: 'refusedAt', as: 'age' }, { title: 'TRIES', path: 'tries' }, { title: 'WHY', path: 'error.detail', flexible: true }] },
  'event-feed': { id: EventFeedId, list: 'gateway.event-feed.list', label: null, columns: [{ title: 'ID', path: 'id' }, { title: 'SUBJECT', path: 'subject', flexible: true }, { title: 'READ', path: 'read' }, { title: 'ENDS', path: 'endsAt' }, age] },
  webhook: {
    id: WebhookId, list: 'monitoring.webhook.list', get: 'monitoring.webhook.get', label: 'name',
    columns: [name, { title: 'ID', path: 'id' }, { title: 'STATE', path: 'state' }, { title: 'WHY', path: 'disabledReason' }, { title: 'POSITION', path: 'position' }, { title: 'TARGET', path: 'target', flexible: true }, { title: 'ERROR', path: 'lastError.detail', flexible: true }],
  },
  'webhook-delivery': {
    id: WebhookDeliveryId, list: 'monitoring.webhook-delivery.list', label: null,
    columns: [{ title: 'ID', path: 'id' }, { title: 'STATE', path: 'state' }, { title: 'EVENTS', path: 'events' }, { title: 'POSITION', path: 'position' }, { title: 'TRIES', path: 'tries' }, { title: 'STATUS', path: 'status' }, { title: 'ERROR', path: 'error.detail', flexible: true }, age],
  },
  'bus-credential': { id: BusCredentialId, list: 'auth.bus-credential.list', label: 'name', columns: [name, { title: 'ID', path: 'id' }, { title: 'EXPIRES', path: 'expiresAt' }, { title: 'REVOKED', path: 'revokedAt', as: 'age' }, { title: 'KEY', path: 'publicKey', flexible: true }] },
  drift: {
    id: FindingId, list: 'monitoring.drift.list', get: 'monitoring.drift.get', label: null,
    columns: [{ title: 'ID', path: 'id' }, { title: 'KIND', path: 'kind' }, { title: 'STATE', path: 'state' }, ofHost, { title: 'SEEN', path: 'firstSeenAt', as: 'age' }, { title: 'WHAT', path: 'text', flexible: true }, { title: 'WOULD', path: 'would', flexible: true }],
  },
  task: {
    id: TaskId, list: 'monitoring.task.list', get: 'monitoring.task.get', label: null,
    columns: [{ title: 'ID', path: 'id' }, { title: 'KIND', path: 'kind' }, { title: 'OBJECT', path: 'object.name', flexible: true }, { title: 'STATE', path: 'state' }, { title: 'PROGRESS', path: 'progress', as: 'progress' }, { title: 'BY', path: 'actor.handle' }, age],
  },
};

/** What is listed although it is no object with an id of its own. */
export const listColumns: Readonly<Record<string, readonly Column[]>> = {
  'monitoring.event.list': [{ title: 'SEQ', path: 'globalSeq' }, { title: 'AT', path: 'at' }, { title: 'EVENT', path: 'name' }, { title: 'OBJECT', path: 'objectId' }, { title: 'BY', path: 'actor.handle' }],
  'auth.audit.list': [{ title: 'SEQ', path: 'seq' }, { title: 'AT', path: 'at' }, { title: 'WHO', path: 'actor.handle' }, { title: 'DOOR', path: 'door' }, { title: 'OPERATION', path: 'operation' }, { title: 'OBJECT', path: 'object.id', flexible: true }, { title: 'OUTCOME', path: 'outcome' }, { title: 'CODE', path: 'code' }, { title: 'TIMES', path: 'times' }],
  'ha.host.list': [ofHost, { title: 'STATE', path: 'state' }, { title: 'SINCE', path: 'since', as: 'age' }, { title: 'HEARTBEAT', path: 'lastHeartbeatAt', as: 'age' }],
  'scheduler.claim.list': [{ title: 'VM', path: 'vmId', ref: 'vm' }, ofHost, { title: 'VCPUS', path: 'vcpus' }, { title: 'MEMORY', path: 'memoryBytes', as: 'size' }, age],
  'scheduler.capacity.list': [{ title: 'HOST', path: 'hostName' }, { title: 'VCPUS', path: 'vcpus' }, { title: 'CLAIMED', path: 'vcpusClaimed' }, { title: 'MEMORY', path: 'memoryBytes', as: 'size' }, { title: 'CLAIMED', path: 'memoryClaimedBytes', as: 'size' }],
};

const historyColumns: readonly Column[] = [{ title: 'AT', path: 'at' }, { title: 'WHAT', path: 'name' }, { title: 'STATE', path: 'state' }, { title: 'BY', path: 'actor.handle' }, { title: 'CHANGED', path: 'changes', as: 'changes', flexible: true }, { title: 'CAUSE', path: 'cause.kind' }, { title: 'ERROR', path: 'error.code' }];

export const nounOf = (noun: NounName): Noun => nouns[noun];
export const isNoun = (text: string): text is NounName => Object.hasOwn(nouns, text);

const byList = new Map(Object.values(nouns).map((noun) => [noun.list, noun]));
export const columnsOf = (operationName: string): readonly Column[] => listColumns[operationName] ?? (operationName.endsWith('.history') ? historyColumns : undefined) ?? byList.get(operationName)?.columns ?? [];

const bySchema = new Map(nounNames.map((noun) => [nouns[noun].id, noun]));
/** The noun that an id's schema belongs to. */
export const nounOfSchema = (schema: z.ZodType): NounName | undefined => bySchema.get(schema);
