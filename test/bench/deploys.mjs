// Linked clones as storage makes them, and twenty deployments at once: from the request to the end of the task, by the
// clock of the database that the tasks' rows carry. Nobody waits for guests to boot.
import { median, percentile } from './statistics.mjs';

const CLONES = 20;
const AT_ONCE = 20;
const MiB = 1024 ** 2;

const tookMs = ({ createdAt, endedAt }) => new Date(endedAt) - new Date(createdAt);

async function clones(rest, volumeId) {
  const times = [];
  for (let index = 0; index < CLONES + 2; index++) {
    const task = await rest.finished(await rest.post(`/v1/volumes/${volumeId}/copy`, { name: `bench-clone-${index}`, mode: 'linked' }));
    if (index >= 2) times.push(tookMs(task));
    await rest.finished(await rest.delete(`/v1/volumes/${task.object.id}`));
  }
  return times;
}

async function deploys(rest, { templateId, portGroupId }) {
  const names = Array.from({ length: AT_ONCE }, (_, index) => `bench-many-${Date.now()}-${index}`);
  const refs = await Promise.all(names.map((name) => rest.post('/v1/vms', { name, templateId, deploy: 'linked', memoryBytes: 96 * MiB, nics: [{ portGroupId }] })));
  const tasks = await Promise.all(refs.map((ref) => rest.finished(ref)));
  await Promise.all(tasks.map(async ({ object }) => rest.finished(await rest.delete(`/v1/vms/${object.id}?force=true&purge=true`))));
  return tasks.map(tookMs);
}

export async function benchDeploys(rest, site) {
  const template = await rest.get(`/v1/templates/${site.templateId}`);
  const cloned = await clones(rest, template.volumeId);
  const deployed = await deploys(rest, site);
  const p50 = median(deployed);
  const p99 = percentile(deployed, 0.99);
  return [
    { what: `linked clone of a volume, task accepted to ended: median of ${CLONES} (p99 ${Math.round(percentile(cloned, 0.99))} ms)`, measured: median(cloned), limit: null, unit: 'ms', limitText: 'none', ratio: null, target: { mostMeasured: 100 } },
    { what: `${AT_ONCE} deployments at once (linked clone, one NIC), accepted to QEMU running: p99 of ${deployed.length}/${AT_ONCE}`, measured: p99, limit: p50, unit: 'ms', limitText: 'p50 of the same', ratio: p99 / p50, target: { most: 3 } },
  ];
}
