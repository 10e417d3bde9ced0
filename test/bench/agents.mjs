// What an agent costs when its host runs twenty VMs: all on one host, each with a disk and a NIC, and nobody does anything to them.
import { setTimeout as sleep } from 'node:timers/promises';
import { agentName } from '../../tools/lab.d/services.mjs';
import { pssOf } from './memory.mjs';

const VMS = 20;
const MiB = 1024 ** 2;
/** For guests that only sit there. */
const ROOMY = { cpuOvercommit: 64, memoryOvercommit: 4 };
/** What the starts have left for the collector of garbage is no cost of VMs that run. */
const SETTLES_MS = 20_000;

export async function benchAgents(lab, rest, { portGroupId }) {
  const [host] = (await rest.get('/v1/hosts')).items;
  const agent = lab.processes.get(agentName(host.name)).pid;
  const { id: clusterId, cpuOvercommit, memoryOvercommit } = (await rest.get('/v1/clusters')).items[0];
  await rest.patch(`/v1/clusters/${clusterId}`, ROOMY);
  const spec = { hostId: host.id, memoryBytes: 16 * MiB, bootOrder: ['cdrom'], disks: [{ sizeBytes: 8 * MiB }], nics: [{ portGroupId }] };
  const refs = await Promise.all(Array.from({ length: VMS }, (_, index) => rest.post('/v1/vms', { ...spec, name: `bench-agent-${Date.now()}-${index}` })));
  const tasks = await Promise.all(refs.map((ref) => rest.finished(ref)));
  await sleep(SETTLES_MS);
  const measured = pssOf(agent) / MiB;
  await Promise.all(tasks.map(async ({ object }) => rest.finished(await rest.delete(`/v1/vms/${object.id}?force=true&purge=true`))));
  await rest.patch(`/v1/clusters/${clusterId}`, { cpuOvercommit, memoryOvercommit });
  return [{ what: `memory of an agent whose host runs ${VMS} VMs, PSS`, measured, limit: null, unit: 'MiB', limitText: 'none', ratio: null, target: { mostMeasured: 160 } }];
}
