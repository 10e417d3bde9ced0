// Network namespaces and the cables between them. Commands run inside by entering the network namespace only:
// the file systems stay the same, so cgroups, datastores and sockets are where they are outside.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { end, identify } from './processes.mjs';
import { run, succeeds } from './run.mjs';

const NAMESPACES = '/run/netns';

/** `argv` as run inside the namespace. */
export function inside(namespace, argv) {
  return ['nsenter', `--net=${join(NAMESPACES, namespace)}`, '--', ...argv];
}

export function listNamespaces() {
  return existsSync(NAMESPACES) ? readdirSync(NAMESPACES) : [];
}

export async function ensureNamespace(namespace) {
  if (!(await isUsable(namespace))) {
    await succeeds(['ip', 'netns', 'delete', namespace]); // a name without a namespace behind it, after a crash
    await run(['ip', 'netns', 'add', namespace]);
  }
  await run(['ip', '-n', namespace, 'link', 'set', 'lo', 'up']);
}

async function isUsable(namespace) {
  return listNamespaces().includes(namespace) && succeeds(['ip', '-n', namespace, 'link', 'show', 'lo']);
}

/** Who lives in the namespace, as records that can be signalled. */
export async function processesInside(namespace) {
  const listed = await run(['ip', 'netns', 'pids', namespace]).catch(() => '');
  return listed.split('\n').filter(Boolean).map((pid) => identify(Number(pid))).filter(Boolean);
}

/** Ends every process that lives in the namespace, then removes it with its interfaces. */
export async function removeNamespace(namespace) {
  if (!listNamespaces().includes(namespace)) return;
  for (let inhabitants; (inhabitants = await processesInside(namespace)).length > 0;) { // a supervisor may have started others meanwhile
    await Promise.all(inhabitants.map((process) => end(process)));
  }
  await run(['ip', 'netns', 'delete', namespace]);
}

/**
 * A cable: interface `end.name` in `end.namespace`, its other end likewise. Transmit offloads are off, because
 * a userspace switch hands packets on as they are and checksums left to "hardware" would never be filled in. Resolves with whether the cable is a new one.
 */
export async function ensureCable(first, second) {
  const isNew = !(await succeeds(['ip', '-n', first.namespace, 'link', 'show', first.name]));
  if (isNew) {
    await run(['ip', 'link', 'add', first.name, 'netns', first.namespace, 'type', 'veth', 'peer', 'name', second.name, 'netns', second.namespace]);
  }
  for (const { namespace, name } of [first, second]) {
    await run(inside(namespace, ['ethtool', '-K', name, 'tx', 'off']));
    await run(['ip', '-n', namespace, 'link', 'set', name, 'up']);
  }
  return isNew;
}
