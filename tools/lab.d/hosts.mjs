// The simulated servers. Each has a network namespace, a private switch, a cable `uplink0` to the physical network,
// a link to the message bus that can be cut, and a state directory. Agents run on them, see services.mjs.
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PUBLIC, readJson, writeJson } from './files.mjs';
import { HOST_NAMES } from './layout.mjs';
import { ensureCable, ensureNamespace, listNamespaces, removeNamespace } from './namespaces.mjs';
import { startOvs } from './ovs.mjs';
import { plugTrunk, startUplink } from './uplink.mjs';
import { until } from './wait.mjs';

const BUS_LINK = join(dirname(fileURLToPath(import.meta.url)), 'bus-link.mjs');
export const UPLINK_INTERFACE = 'uplink0';

/** A time-ordered id (RFC 9562, version 7). */
export function uuidv7(now = Date.now(), random = randomBytes(10)) {
  const bytes = Buffer.concat([Buffer.from(now.toString(16).padStart(12, '0'), 'hex'), random]);
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** The hosts' ids and names, made once per lab: [{ id, name }]. */
export function hostIdentities({ paths }) {
  const known = readJson(paths.hostsFile, []);
  const all = HOST_NAMES.map((name) => known.find((host) => host.name === name) ?? { id: uuidv7(), name });
  if (all.length !== known.length) writeJson(paths.hostsFile, all, PUBLIC);
  return all;
}

/** The bus link's name in the process table. */
export const linkName = (host) => `link-${host}`;

/** Starts the physical network and all hosts; `lab` is { paths, names, ports, processes, node }. */
export async function startHosts(lab) {
  await startUplink(lab);
  mkdirSync(lab.paths.staging, { recursive: true });
  await Promise.all(hostIdentities(lab).map(({ name }) => startHost(lab, name)));
}

export async function startHost(lab, name) {
  const { paths, names, processes } = lab;
  const namespace = names.hostNamespace(name);
  const trunk = names.trunkPort(name);
  mkdirSync(paths.host(name).state, { recursive: true });
  await ensureNamespace(namespace);
  const isNew = await ensureCable({ namespace, name: UPLINK_INTERFACE }, { namespace: names.uplinkNamespace, name: trunk });
  await plugTrunk(lab, trunk, { isNew });
  await startOvs({ dir: paths.host(name).ovs, namespace, name, processes });
  await healHost(lab, name);
}

/**
 * Cuts a host off the message bus, its guests and their network go on. `silent` (default) lets connections hang as
 * a broken cable does; `refuse` ends them as a dead peer does.
 */
export async function cutHost({ processes }, name, { how = 'silent' } = {}) {
  if (how === 'refuse') await processes.stop(linkName(name));
  else processes.signal(linkName(name), 'SIGSTOP');
}

/** Mends what `cutHost` cut; also the way the link is first made. */
export async function healHost({ names, ports, processes, node }, name) {
  const link = linkName(name);
  if (processes.signal(link, 'SIGCONT')) return;
  const before = logLength(processes.logFile(link));
  processes.start(link, [node, '--max-old-space-size=32', BUS_LINK, names.hostNamespace(name), String(ports.nats)]);
  await until(() => readLog(processes.logFile(link)).slice(before).includes('reaches port'), {
    what: `The bus link of ${name} did not come up`, logFile: processes.logFile(link), stillRuns: () => processes.isAlive(link),
  });
}

const readLog = (file) => (existsSync(file) ? readFileSync(file, 'utf8') : '');
const logLength = (file) => readLog(file).length;

/** Removes every namespace of this lab with whatever runs inside: agents, guards, QEMU, DHCP servers, switches. */
export async function removeHosts({ names }) {
  await Promise.all(listNamespaces().filter(names.isNamespace).map(removeNamespace));
  removeCgroups(names);
}

/** The groups of this lab that agents made; they are empty once the namespaces' processes have ended. */
function removeCgroups(names) {
  const roots = readFileSync('/proc/mounts', 'utf8').split('\n').map((line) => line.split(' '))
    .filter(([, , type]) => type === 'cgroup' || type === 'cgroup2').map(([, path]) => path);
  for (const root of roots) {
    for (const entry of readdirSync(root).filter(names.isCgroup)) removeGroup(join(root, entry));
  }
}

function removeGroup(group) {
  for (const entry of readdirSync(group, { withFileTypes: true })) {
    if (entry.isDirectory()) removeGroup(join(group, entry.name));
  }
  rmdirSync(group);
}

/** Whether another lab's namespaces stand on this machine. */
export function otherLabsRun({ names }) {
  return listNamespaces().some((name) => /^tok-[0-9a-f]{4}-/.test(name) && !names.isNamespace(name));
}
