// Breaks parts of a lab that is up, and mends them: what the fault tests do to it. Every function takes the value of
// `openLab()`. Processes are named as in `tools/lab status`.
import { mkdirSync, renameSync, rmSync, rmdirSync, statfsSync } from 'node:fs';
import { UPLINK_INTERFACE, hostIdentities, linkName, startHost } from './hosts.mjs';
import { SERVICES } from './layout.mjs';
import { processesInside, removeNamespace } from './namespaces.mjs';
import { end, signal } from './processes.mjs';
import { recordedBackends, recordServices } from './record.mjs';
import { run } from './run.mjs';
import { agentName, startAgent, startService } from './services.mjs';

export { cutHost, healHost } from './hosts.mjs';

/** Ends a process as a crash does: at once, without a word. */
export async function crash(lab, name) {
  const record = lab.processes.get(name);
  signal(record, 'SIGKILL');
  await end(record);
}

/** Halts a process as an overloaded or stopped machine does; `thaw` lets it go on. */
export const freeze = (lab, name) => lab.processes.signal(name, 'SIGSTOP');
export const thaw = (lab, name) => lab.processes.signal(name, 'SIGCONT');

/** Starts a service, an agent or a backend that has ended, as `up` started it; an agent with `more` in its environment. It may not be ready yet. */
export function startAgain(lab, name, more = {}) {
  const host = hostIdentities(lab).find((identity) => agentName(identity.name) === name);
  if (SERVICES.includes(name)) startService(lab, recordedBackends(lab), name);
  else if (host) startAgent(lab, recordedBackends(lab), host, more);
  else {
    const { command, runsFirst } = lab.processes.get(name);
    lab.processes.start(name, command, { runsFirst });
  }
  recordServices(lab);
}

/** Ends a process as an operator does, who lets it finish what it is at, and starts it again. It may not be ready yet. */
export async function restart(lab, name) {
  await end(lab.processes.get(name));
  startAgain(lab, name);
}

/** So much of a file system in memory is there for what a server of a lab keeps. */
const ROOMY_BYTES = 2 * 1024 ** 3;

/** Puts a server's directory on a file system of its own, whose room `leaveRoom` sets; `moveBack` undoes it. `down` removes it too. */
export async function moveToOwnDisk(lab, name, dir) {
  await crash(lab, name);
  const kept = `${dir}.kept`;
  renameSync(dir, kept);
  mkdirSync(dir);
  await run(['mount', '-t', 'tmpfs', '-o', `size=${ROOMY_BYTES}`, 'tmpfs', dir]);
  await run(['cp', '-a', `${kept}/.`, dir]);
  rmSync(kept, { recursive: true });
  startAgain(lab, name);
}

/** From now on so many bytes more can be written there; by default as many as a server needs. */
export async function leaveRoom(dir, bytes = ROOMY_BYTES) {
  const { blocks, bfree, bsize } = statfsSync(dir);
  await run(['mount', '-o', `remount,size=${(blocks - bfree) * bsize + bytes}`, dir]);
}

export async function moveBack(lab, name, dir) {
  if (lab.processes.isAlive(name)) await crash(lab, name);
  const kept = `${dir}.kept`;
  await run(['cp', '-a', dir, kept]);
  await run(['umount', dir]);
  rmdirSync(dir);
  renameSync(kept, dir);
  startAgain(lab, name);
}

/**
 * Pulls a host's plug: agent, guests, switch and all interfaces are gone in the same moment. Its disks stay. The bus
 * sees silence, not closed connections, as it does when a real server loses power.
 */
export async function powerOffHost(lab, host) {
  const namespace = lab.names.hostNamespace(host);
  lab.processes.signal(linkName(host), 'SIGSTOP');
  const victims = await processesInside(namespace);
  for (const victim of victims) signal(victim, 'SIGKILL');
  await run(['ip', '-n', namespace, 'link', 'delete', UPLINK_INTERFACE]);
  await Promise.all(victims.map((victim) => end(victim)));
  await removeNamespace(namespace);
}

/** Boots it again: network, switch, bus link and agent; guests do not come back by themselves. */
export async function powerOnHost(lab, host) {
  await lab.processes.stop(linkName(host));
  await startHost(lab, host);
  startAgain(lab, agentName(host));
}

/** Unplugs a host's cable to the physical network; the bus is not affected. */
export const cutUplink = ({ names }, host) => run(['ip', '-n', names.uplinkNamespace, 'link', 'set', names.trunkPort(host), 'down']);
export const healUplink = ({ names }, host) => run(['ip', '-n', names.uplinkNamespace, 'link', 'set', names.trunkPort(host), 'up']);
