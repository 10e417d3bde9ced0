// Whether a round has left something behind, while the stage stands: what the pool holds anywhere must be exactly what its
// VMs, volumes and images account for. At the end, with the stage removed, everything must be as it was before.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { listCapacity, listClaims, listImages, listPorts, listSubnets, listVms, listVolumes, taskServices } from '#contracts';
import type { Vm } from '#contracts';
import { holdings } from '../e2e/holdings.ts';
import type { Holdings } from '../e2e/holdings.ts';
import { argumentsOf, qemusOn } from '../e2e/qemu.ts';
import type { World } from '../e2e/world.ts';
import { queried } from './owners.ts';

/** What the pool holds beside what `holdings` sees: locks and numbers that only the databases know. */
export async function everything(world: World): Promise<Holdings> {
  const [seen, uids, ...locks] = await Promise.all([holdings(world), uidsOf(world), ...taskServices.map((service) => locksOf(world, service))]);
  return { ...seen, ...Object.fromEntries(taskServices.map((service, at) => [`locks of ${service}`, locks[at] ?? []])), uids };
}

const locksOf = (world: World, service: string): Promise<string[]> => rowsOf(world, service, 'SELECT noun, object_id, task_id FROM task_lock ORDER BY noun, object_id');
const openTasksOf = async (world: World): Promise<string[]> => (await Promise.all(taskServices.map((service) => rowsOf(world, service, 'SELECT kind, id, state FROM task WHERE ended_at IS NULL')))).flat();
const uidsOf = (world: World): Promise<string[]> => rowsOf(world, 'compute', 'SELECT vm_id FROM vm_uid WHERE vm_id IS NOT NULL ORDER BY vm_id');

/** The rows of a query on a service's schema, each as its values with spaces between. */
async function rowsOf(world: World, service: string, query: string): Promise<string[]> {
  return (await queried(world, service, query)).map((row) => Object.values(row).join(' '));
}

const runs = ({ status: { state } }: Vm): boolean => state === 'running' || state === 'paused';
const guestOf = (pid: number): string => argumentsOf(pid).find((argument) => argument.startsWith('guest='))?.slice('guest='.length).split(',')[0] ?? `pid ${pid}`;

/** What does not add up, in words; empty when all does. */
export async function looseEnds(world: World): Promise<string[]> {
  const { rest, record } = world;
  const [vms, binned, volumes, images, ports, claims, capacity, subnets, uids, tasks, ...locks] = await Promise.all([
    rest.ask(listVms, { limit: 500 }), rest.ask(listVms, { limit: 500, recycled: true }), rest.ask(listVolumes, { limit: 500 }), rest.ask(listImages, { limit: 500 }), rest.ask(listPorts, { limit: 500 }),
    rest.ask(listClaims, { limit: 500 }), rest.ask(listCapacity, { limit: 500 }), rest.ask(listSubnets, { limit: 500 }), uidsOf(world), openTasksOf(world),
    ...taskServices.map((service) => locksOf(world, service)),
  ]);
  const all = [...vms.items, ...binned.items];
  const running = all.filter(runs);
  const nics = all.flatMap(({ spec }) => spec.nics);
  const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);
  const accounted = [...all.flatMap(({ spec, status }) => [...spec.disks.map(({ volumeId }) => volumeId), ...[status.saved, status.tpm, status.uefiVars].flatMap((own) => own?.volumeId ?? [])]), ...images.items.filter(({ state }) => state === 'ready').flatMap(({ volumeId }) => volumeId ?? [])];
  const failed = new Set<string>(volumes.items.filter(({ state }) => state === 'failed').map(({ id }) => id));
  const attached = volumes.items.filter(({ attachedTo, use }) => attachedTo !== null || use !== 'disk').map(({ id }) => id);
  const byHost = await Promise.all(record.hosts.map(async (host) => ({ host: host.name, guests: (await qemusOn(host)).map(({ pid }) => guestOf(pid)), due: running.filter(({ status }) => status.hostId === host.id).map(({ id }) => id) })));
  return [
    ...tasks.map((task) => `a task is open: ${task}`),
    ...locks.flatMap((rows, at) => rows.map((row) => `a lock of ${taskServices[at] ?? ''}: ${row}`)),
    ...differing('ports of VMs', ports.items.map(({ id }) => id), nics.map(({ portId }) => portId)),
    ...differing('claims', claims.items.map(({ vmId, hostId }) => `${vmId} on ${hostId}`), running.map(({ id, status: { hostId } }) => `${id} on ${hostId ?? 'no host'}`)),
    ...differing('volumes of VMs and images', attached, accounted),
    ...differing('uids', uids, all.map(({ id }) => id)),
    // A volume whose deletion did not end may have its file or not.
    ...differing('files on the datastore', filesOf(record.datastore.path).filter((id) => !failed.has(id)), volumes.items.filter(({ id }) => !failed.has(id)).map(({ id }) => id)),
    ...differing('sums', [`${sum(capacity.items.map(({ memoryClaimedBytes }) => memoryClaimedBytes))} bytes claimed`, `${sum(subnets.items.map(({ addresses }) => addresses.used))} addresses`],
      [`${sum(running.map(({ spec }) => spec.memoryBytes))} bytes claimed`, `${nics.filter(({ ip }) => ip !== null).length} addresses`]),
    ...byHost.flatMap(({ host, guests, due }) => differing(`QEMUs of ${host}`, guests, due)),
  ];
}

/** Ids of the volumes whose files lie there (an image has two); what an agent writes to know the datastore and to see whether it can is not one. */
const filesOf = (dir: string): string[] => [...new Set(readdirSync(dir, { withFileTypes: true, recursive: true })
  .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
  .map((entry) => /^([0-9a-f-]{36})\.[\w.]+$/.exec(entry.name)?.[1] ?? join(entry.parentPath, entry.name)))];

function differing(what: string, there: readonly string[], due: readonly string[]): string[] {
  const without = (from: readonly string[], of: readonly string[]): string[] => of.reduce((left, one) => (left.includes(one) ? left.toSpliced(left.indexOf(one), 1) : left), [...from]);
  return [...without(there, due).map((one) => `${what}: ${one} is there and should not be`), ...without(due, there).map((one) => `${what}: ${one} is missing`)];
}
