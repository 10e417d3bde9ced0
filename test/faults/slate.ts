// Whether a round has left something behind, while the stage stands: what the pool holds anywhere must be exactly what its
// VMs, volumes and images account for. At the end, with the stage removed, everything must be as it was before.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createConnection } from 'mysql2/promise';
import { listCapacity, listClaims, listImages, listPorts, listSubnets, listTasks, listVms, listVolumes, taskServices } from '#contracts';
import type { Vm } from '#contracts';
import { holdings } from '../e2e/holdings.ts';
import type { Holdings } from '../e2e/holdings.ts';
import { argumentsOf, qemusOn } from '../e2e/qemu.ts';
import type { World } from '../e2e/world.ts';

/** What the pool holds beside what `holdings` sees: locks and numbers that only the databases know. */
export async function everything(world: World): Promise<Holdings> {
  const [seen, uids, ...locks] = await Promise.all([holdings(world), uidsOf(world), ...taskServices.map((service) => locksOf(world, service))]);
  return { ...seen, ...Object.fromEntries(taskServices.map((service, at) => [`locks of ${service}`, locks[at] ?? []])), uids };
}

const locksOf = (world: World, service: string): Promise<string[]> => rowsOf(world, service, 'SELECT noun, object_id, task_id FROM task_lock ORDER BY noun, object_id');
const uidsOf = (world: World): Promise<string[]> => rowsOf(world, 'compute', 'SELECT vm_id FROM vm_uid WHERE vm_id IS NOT NULL ORDER BY vm_id');

async function rowsOf({ record }: World, service: string, query: string): Promise<string[]> {
  const db = await createConnection(record.mysql.urls[service]!);
  try {
    const [rows] = await db.query(query);
    return (rows as object[]).map((row) => Object.values(row).join(' '));
  } finally {
    await db.end();
  }
}

const runs = ({ status: { state } }: Vm): boolean => state === 'running' || state === 'paused';
const guestNames = (pid: number): string => argumentsOf(pid).find((argument) => argument.startsWith('guest='))?.slice('guest='.length).split(',')[0] ?? `pid ${pid}`;

/** What does not add up, in words; empty when all does. */
export async function looseEnds(world: World): Promise<string[]> {
  const { rest, record } = world;
  const [vms, binned, volumes, images, ports, claims, capacity, subnets, tasks, uids, ...locks] = await Promise.all([
    rest.ask(listVms, { limit: 500 }), rest.ask(listVms, { limit: 500, recycled: true }), rest.ask(listVolumes, { limit: 500 }), rest.ask(listImages, { limit: 500 }), rest.ask(listPorts, { limit: 500 }),
    rest.ask(listClaims, { limit: 500 }), rest.ask(listCapacity, { limit: 500 }), rest.ask(listSubnets, { limit: 500 }), rest.ask(listTasks, { limit: 500, open: true, top: false }),
    uidsOf(world), ...taskServices.map((service) => locksOf(world, service)),
  ]);
  const all = [...vms.items, ...binned.items];
  const running = all.filter(runs);
  const nics = all.flatMap(({ spec }) => spec.nics);
  const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0);
  const accounted = [...all.flatMap(({ spec, status }) => [...spec.disks.map(({ volumeId }) => volumeId), ...(status.saved === null ? [] : [status.saved.volumeId])]), ...images.items.flatMap(({ volumeId }) => volumeId ?? [])];
  const attached = volumes.items.filter(({ attachedTo, use }) => attachedTo !== null || use !== 'disk').map(({ id }) => id);
  const byHost = await Promise.all(record.hosts.map(async (host) => ({ host: host.name, guests: (await qemusOn(host)).map(({ pid }) => guestNames(pid)), due: running.filter(({ status }) => status.hostId === host.id).map(({ name }) => name) })));
  return [
    ...tasks.items.map(({ id, kind, state }) => `the task ${id} (${kind}) is ${state}`),
    ...locks.flatMap((rows, at) => rows.map((row) => `a lock of ${taskServices[at] ?? ''}: ${row}`)),
    ...differing('ports of VMs', ports.items.map(({ id }) => id), nics.map(({ portId }) => portId)),
    ...differing('claims', claims.items.map(({ vmId, hostId }) => `${vmId} on ${hostId}`), running.map(({ id, status: { hostId } }) => `${id} on ${hostId ?? 'no host'}`)),
    ...differing('volumes of VMs and images', attached, accounted),
    ...differing('uids', uids, all.map(({ id }) => id)),
    ...differing('files on the datastore', filesOf(record.datastore.path), volumes.items.map(({ id }) => id)),
    ...differing('sums', [`${sum(capacity.items.map(({ memoryClaimedBytes }) => memoryClaimedBytes))} bytes claimed`, `${sum(subnets.items.map(({ addresses }) => addresses.used))} addresses`],
      [`${sum(running.map(({ spec }) => spec.memoryBytes))} bytes claimed`, `${nics.filter(({ ip }) => ip !== null).length} addresses`]),
    ...byHost.flatMap(({ host, guests, due }) => differing(`QEMUs of ${host}`, guests, due)),
  ];
}

/** Ids of the volumes whose files lie there; what an agent writes to see whether it can is not one. */
const filesOf = (dir: string): string[] =>
  readdirSync(dir, { withFileTypes: true, recursive: true }).filter((entry) => entry.isFile() && !entry.name.startsWith('.probe-')).map((entry) => /^([0-9a-f-]{36})\.\w+$/.exec(entry.name)?.[1] ?? join(entry.parentPath, entry.name));

function differing(what: string, there: readonly string[], due: readonly string[]): string[] {
  const without = (from: readonly string[], of: readonly string[]): string[] => of.reduce((left, one) => (left.includes(one) ? left.toSpliced(left.indexOf(one), 1) : left), [...from]);
  return [...without(there, due).map((one) => `${what}: ${one} is there and should not be`), ...without(due, there).map((one) => `${what}: ${one} is missing`)];
}
