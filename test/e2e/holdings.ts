// Everything that VMs hold anywhere: rows of every service, files on the datastore, ports and interfaces of every host,
// directories, control groups, processes. Taken before and after, the two must be equal: nothing is left behind.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Task } from '#contracts';
import { listCapacity, listClaims, listPorts, listSubnets, listTasks, listVms, listVolumes } from '#contracts';
import { eventually } from './eventually.ts';
import { inside, run, vsctl } from './lab.mjs';
import type { LabHost } from './lab.mjs';
import { argumentsOf, qemusOn } from './qemu.ts';
import type { World } from './world.ts';

export type Holdings = Readonly<Record<string, readonly string[]>>;

/** An agent that looks whether a datastore is writable writes such a file and removes it at once. */
const isProbe = (name: string): boolean => name.startsWith('.probe-');

const filesBelow = (dir: string): string[] =>
  (existsSync(dir) ? readdirSync(dir, { withFileTypes: true, recursive: true }).filter((entry) => !entry.isDirectory() && !isProbe(entry.name)).map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1)).sort() : []);

/** Monitoring hears of the end of a child task from another service than of its parent's, so a little later: given 10 s, what is open then is open. */
async function openTasks({ rest }: World): Promise<readonly Task[]> {
  const open = async (): Promise<readonly Task[]> => (await rest.ask(listTasks, { limit: 500, open: true, top: false })).items;
  return await eventually('no task is open', async () => ((await open()).length === 0 ? [] : null), { withinMs: 10_000 }).catch(open);
}

async function rows(world: World): Promise<Holdings> {
  const { rest } = world;
  const tasks = await openTasks(world);
  const [vms, volumes, ports, claims, capacity, subnets] = await Promise.all([
    rest.ask(listVms, { limit: 500 }), rest.ask(listVolumes, { limit: 500 }), rest.ask(listPorts, { limit: 500 }), rest.ask(listClaims, { limit: 500 }),
    rest.ask(listCapacity, { limit: 500 }), rest.ask(listSubnets, { limit: 500 }),
  ]);
  return {
    vms: vms.items.map((vm) => `${vm.id} ${vm.name}`),
    volumes: volumes.items.map((volume) => `${volume.id} ${volume.name} ${volume.state}`),
    ports: ports.items.map((port) => port.id),
    claims: claims.items.map((claim) => `${claim.vmId} on ${claim.hostId}`),
    'open tasks': tasks.map((task) => `${task.id} ${task.kind}`),
    'claimed capacity': capacity.items.map((host) => `${host.hostName} ${host.vcpusClaimed} vCPUs ${host.memoryClaimedBytes} bytes`),
    'assigned addresses': subnets.items.map((subnet) => `${subnet.name} ${subnet.addresses.used}`),
  };
}

/** Ports of NICs only: the switch's own, and those that answer DHCP, stay with the port group. */
const isNicPort = (name: string): boolean => name.startsWith('tap');

async function onHost(host: LabHost): Promise<Holdings> {
  const bridges = (await vsctl(host.ovsRundir, ['list-br'])).split('\n').filter(Boolean);
  const ports = (await Promise.all(bridges.map((bridge) => vsctl(host.ovsRundir, ['list-ports', bridge])))).flatMap((text) => text.split('\n')).filter(isNicPort);
  const links = (await run(inside(host.namespace, ['ip', '-o', 'link', 'show']))).split('\n').map((line) => line.split(': ')[1] ?? '').filter(isNicPort);
  const vmDirectories = join(host.stateDir, 'vms');
  const of = (what: string): string => `${what} of ${host.name}`;
  return {
    [of('switch ports')]: ports.sort(),
    [of('interfaces')]: links.sort(),
    [of('VM directories')]: existsSync(vmDirectories) ? readdirSync(vmDirectories).sort() : [],
    [of('QEMU processes')]: (await qemusOn(host)).map(({ pid }) => argumentsOf(pid).find((argument) => argument.startsWith('guest=')) ?? String(pid)).sort(),
    [of('control groups')]: cgroupsOf(host),
  };
}

function cgroupsOf({ cgroup }: LabHost): string[] {
  const roots = ['/sys/fs/cgroup', ...(existsSync('/sys/fs/cgroup') ? readdirSync('/sys/fs/cgroup').map((name) => join('/sys/fs/cgroup', name)) : [])];
  return [...new Set(roots.map((root) => join(root, cgroup)).filter(existsSync).flatMap((group) => readdirSync(group, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map((entry) => entry.name)))].sort();
}

export async function holdings(world: World): Promise<Holdings> {
  const parts = await Promise.all([rows(world), ...world.record.hosts.map(onHost)]);
  return Object.assign({ 'files on the datastore': filesBelow(world.record.datastore.path) }, ...parts) as Holdings;
}
