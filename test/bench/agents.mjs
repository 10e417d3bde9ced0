// What an agent takes of its host's memory, with few VMs and with twenty that run there.
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const VMS = 20;
const MiB = 1024 ** 2;
const SETTLE_MS = 5_000;

/** Resident memory of a process, bytes: what is shared with others counts in full. */
function rssOf(pid) {
  const file = `/proc/${pid}/smaps_rollup`;
  return existsSync(file) ? Number(/^Rss:\s+(\d+) kB/m.exec(readFileSync(file, 'utf8'))[1]) * 1024 : 0;
}

export async function benchAgents(lab, rest, { hosts, templateId, portGroupId }) {
  const [host] = hosts;
  const residentMiB = (name) => rssOf(lab.processes.get(`host-agent-${name}`).pid) / MiB;
  const idle = Math.max(...hosts.map(({ name }) => residentMiB(name)));
  const names = Array.from({ length: VMS }, (_, index) => `bench-agent-${Date.now()}-${index}`);
  const refs = await Promise.all(names.map((name) => rest.post('/v1/vms', { name, hostId: host.id, templateId, deploy: 'linked', memoryBytes: 96 * MiB, nics: [{ portGroupId }] })));
  try {
    await Promise.all(refs.map((ref) => rest.finished(ref)));
    await sleep(SETTLE_MS);
    const running = (await rest.get(`/v1/vms?hostId=${host.id}&state=running&limit=100`)).items.length;
    return [
      { what: 'memory of an agent, RSS, the largest of three with at most one VM', measured: idle, limit: null, unit: 'MiB', limitText: 'none', ratio: null, target: { mostMeasured: 120 } },
      { what: `memory of an agent, RSS, with ${running} running VMs`, measured: residentMiB(host.name), limit: null, unit: 'MiB', limitText: 'none', ratio: null, target: { mostMeasured: 160 } },
    ];
  } finally {
    await Promise.all(refs.map(async ({ objectId }) => rest.finished(await rest.delete(`/v1/vms/${objectId}?force=true&purge=true`))));
  }
}
