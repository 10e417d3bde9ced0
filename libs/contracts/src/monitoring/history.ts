// The history of one object: what happened to it and what was done with it, by time, newest first. One contract for every
// noun that has events; who may see the object may see it, also when the object is gone.
import { z } from 'zod';
import { defineQuery, type Operation } from '../define.ts';
import { ErrorBody, NotFound } from '../errors.ts';
import { ClusterId, DatastoreId, FolderId, HostId, ImageId, PortGroupId, SubnetId, SwitchId, TaskId, TemplateId, UserId, VmId, VolumeId } from '../ids.ts';
import type { Permission } from '../permissions.ts';
import { At, Handle, pageInput, pageOf } from '../values.ts';
import { TaskState } from '../task.ts';

export const HistoryChange = z.strictObject({ field: z.string().describe('with dots inside, like status.state'), from: z.unknown(), to: z.unknown() });
export const HistoryEntry = z.strictObject({
  at: At, what: z.enum(['event', 'task']), name: z.string().describe('name of the event, or kind of the task'),
  actor: z.strictObject({ userId: UserId, handle: Handle }).nullable(),
  taskId: TaskId.nullable().describe('the task itself'),
  cause: z.strictObject({ taskId: TaskId, kind: z.string().nullable() }).nullable().describe('the task that the event came from, or that began this one'),
  changes: z.array(HistoryChange).describe('what is other than at the event before; none where that is kept no longer'),
  state: TaskState.nullable(), endedAt: At.nullable(), error: ErrorBody.nullable(), traceId: z.string().nullable(), globalSeq: z.int().nullable(),
}).meta({ id: 'HistoryEntry' });
export type HistoryEntry = z.infer<typeof HistoryEntry>;

const historyOf = <const N extends string, const M extends string, I extends z.ZodType>(noun: N, phrase: string, plural: string, member: M, id: I, permission: Permission) =>
  defineQuery(`monitoring.${noun}.history`, {
    summary: `Show what happened to ${phrase}: events and tasks, newest first, with who, why and what changed`, http: `GET /v1/${plural}/:${member}/history`, permission, on: member,
    input: z.strictObject({ [member]: id, ...pageInput } as { [K in M]: I } & typeof pageInput), reply: pageOf(HistoryEntry), errors: [NotFound],
  });

export const vmHistory = historyOf('vm', 'a VM', 'vms', 'vmId', VmId, 'vm.read');
export const hostHistory = historyOf('host', 'a host', 'hosts', 'hostId', HostId, 'host.read');
export const clusterHistory = historyOf('cluster', 'a cluster', 'clusters', 'clusterId', ClusterId, 'cluster.read');
export const folderHistory = historyOf('folder', 'a folder', 'folders', 'folderId', FolderId, 'folder.read');
export const datastoreHistory = historyOf('datastore', 'a datastore', 'datastores', 'datastoreId', DatastoreId, 'datastore.read');
export const volumeHistory = historyOf('volume', 'a volume', 'volumes', 'volumeId', VolumeId, 'volume.read');
export const switchHistory = historyOf('switch', 'a switch', 'switches', 'switchId', SwitchId, 'network.read');
export const portGroupHistory = historyOf('port-group', 'a port group', 'port-groups', 'portGroupId', PortGroupId, 'network.read');
export const subnetHistory = historyOf('subnet', 'a subnet', 'subnets', 'subnetId', SubnetId, 'network.read');
export const imageHistory = historyOf('image', 'an image', 'images', 'imageId', ImageId, 'image.read');
export const templateHistory = historyOf('template', 'a template', 'templates', 'templateId', TemplateId, 'template.read');

export const histories: readonly Operation[] = [
  vmHistory, hostHistory, clusterHistory, folderHistory, datastoreHistory, volumeHistory, switchHistory, portGroupHistory, subnetHistory, imageHistory, templateHistory,
];
