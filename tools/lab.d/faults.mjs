// Breaks parts of a lab that is up, and mends them: what the fault tests do to it. Every function takes the value of
// `openLab()`. Processes are named as in `tools/lab status`.
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
  else lab.processes.start(name, lab.processes.get(name).command);
  recordServices(lab);
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
