// Requests that people write first, and those whose rules a JSON schema cannot say, as examples by operation. Every other
// request has an example that is made from its schema.
import type { Json } from '../json-schema.ts';

const vmId = '0198a7c2-0000-7000-8000-00000000000a';
const other = '0198a7c2-0000-7000-8000-00000000000b';
const GiB = 1024 ** 3;

export const requests: Readonly<Record<string, Json>> = {
  'compute.vm.create': { name: 'web-1', templateId: other, deploy: 'linked', memoryBytes: 2 * GiB, nics: [{ portGroupId: other }], labels: { stage: 'test' } },
  'compute.vm.list': { state: 'running', label: 'stage:test', sort: '-createdAt', limit: 50, fields: 'id,name,status.state' },
  'compute.vm.stop': { vmId, graceMs: 30_000, force: true },
  'compute.vm.modify': { vmId, memoryBytes: 4 * GiB, cpu: { sockets: 1, cores: 4, threads: 1 } },
  'compute.vm.update': { vmId, name: 'web-2', labels: { stage: 'live' } },
  'compute.vm.delete': { vmId, force: true, keepDisks: 'all' },
  'compute.vm.attach-disk': { vmId, sizeBytes: 10 * GiB },
  'compute.vm.attach-nic': { vmId, portGroupId: other, ip: '10.100.0.42' },
  'monitoring.task.get': { taskId: other, waitMs: 20_000, afterVersion: 3 },
  'monitoring.task.list': { open: true },
  'monitoring.webhook.create': { name: 'ci', target: 'https://ci.example.com/hook', filter: { names: ['compute.vm.*'] } },
  'gateway.event-feed.create': { after: 4200, filter: { names: ['compute.vm.*', 'gateway.command.*'] } },
  'gateway.event-feed.get': { feedId: other, read: 4711 },
  'monitoring.event.list': { after: 0, limit: 50, waitMs: 20_000 },
  'storage.volume.create': { name: 'data', datastoreId: other, sizeBytes: 10 * GiB },
  'network.subnet.create': { portGroupId: other, name: 'office', cidr: '10.100.0.0/24', gateway: '10.100.0.1', range: { from: '10.100.0.10', to: '10.100.0.250' } },
};
