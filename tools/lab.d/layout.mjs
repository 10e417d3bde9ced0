// Names and places of one lab, derived from its directory alone, so that every
// command finds the same files, namespaces and interfaces without asking anyone.
import { createHash } from 'node:crypto';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { closedParent } from './files.mjs';

export const REPO = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');

export const HOST_NAMES = ['host1', 'host2', 'host3'];

/** Services that own a schema; the gateway has one for its outbox. */
export const SERVICES = ['auth', 'network', 'storage', 'templates', 'scheduler', 'compute', 'ha', 'monitoring', 'gateway'];

/** Longest path a unix socket may have on Linux (sun_path less its closing zero). */
const MAX_SOCKET_PATH = 107;
/** Longest path beneath the lab directory at which a socket is made: a VM's monitor of a host. */
const DEEPEST_SOCKET = 'hosts/host1/state/vms/00000000-0000-0000-0000-000000000000/run/qmp.sock';

export function labDir(env = process.env) {
  return env.TOK_LAB_DIR ? resolve(env.TOK_LAB_DIR) : reachableDir(join(REPO, '.lab'), 'tokamak');
}

/**
 * `beside` if QEMU's users can reach it and unix sockets in it keep their length; else a directory in /var/tmp, one per
 * `beside` and user, so that a clone below /root works as well.
 */
export function reachableDir(beside, prefix) {
  const odd = /[^A-Za-z0-9._/-]/.test(beside); // what a datastore's path may not hold
  return odd || whyDirectoryUnusable(beside) || closedParent(beside) ? `/var/tmp/${prefix}-${process.getuid?.() ?? 0}-${labTag(beside)}` : beside;
}

/** Where downloads and built guests are kept, shared by all labs of this user. */
export function cacheDir(env = process.env) {
  if (env.TOK_LAB_CACHE) return resolve(env.TOK_LAB_CACHE);
  return join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'tokamak');
}

/** Four hex digits that tell this lab's namespaces and interfaces from another lab's. */
export function labTag(dir) {
  return createHash('sha256').update(resolve(dir)).digest('hex').slice(0, 4);
}

/** Every path of the lab. `dir` is absolute. */
export function labPaths(dir) {
  const at = (...parts) => join(dir, ...parts);
  return {
    dir,
    lockFile: at('up.lock'),
    portsFile: at('ports.json'),
    hostsFile: at('hosts.json'),
    labFile: at('lab.json'),
    adminFile: at('admin.json'),
    run: at('run'),
    log: at('log'),
    data: at('data'),
    natsSetup: at('nats'),
    datastore: at('datastores', 'shared'),
    staging: at('datastores', 'shared', '.staging'),
    mariadb: at('mariadb'),
    redis: at('redis'),
    uplinkSwitch: at('uplink', 'ovs'),
    host: (name) => ({
      dir: at('hosts', name),
      state: at('hosts', name, 'state'),
      ovs: at('hosts', name, 'ovs'),
    }),
  };
}

/** Namespaces and interfaces of the lab. Interface names keep to Linux' 15 characters. */
export function labNames(tag) {
  return {
    uplinkNamespace: `tok-${tag}-up`,
    hostNamespace: (name) => `tok-${tag}-${name}`,
    trunkPort: (name) => `t${tag}-${name}`,
    cgroup: (name) => `tokamak-${tag}-${name}`,
    isNamespace: (name) => name.startsWith(`tok-${tag}-`),
    isCgroup: (name) => name.startsWith(`tokamak-${tag}-`),
  };
}

/** Why this directory cannot hold a lab, or undefined when it can. */
export function whyDirectoryUnusable(dir) {
  const longest = join(dir, DEEPEST_SOCKET).length;
  if (longest <= MAX_SOCKET_PATH) return undefined;
  return `The lab directory's path is ${longest - MAX_SOCKET_PATH} characters too long for the unix sockets inside it: set TOK_LAB_DIR to a shorter one.`;
}
