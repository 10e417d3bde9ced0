// `tools/lab down` and `reset`: end what the lab started and remove its namespaces, interfaces, mounts and control
// groups. Works from any state, also one that a crash left. `down` keeps all data.
import { existsSync, readFileSync, readdirSync, rmSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { stopBackends } from './backends.mjs';
import { stopCompose } from './compose.mjs';
import { otherLabsRun, removeHosts } from './hosts.mjs';
import { run } from './run.mjs';
import { stopServices } from './services.mjs';
import { closeTunDevice } from './tun-device.mjs';

/** What the lab makes in its directory and in the cache; nothing else is ever removed. */
const LAB_ENTRIES = [
  'ports.json', 'hosts.json', 'lab.json', 'admin.json', 'run', 'log', 'data', 'cache', 'nats', 'mariadb', 'redis',
  'datastores', 'uplink', 'hosts', 'compose',
];
const CACHE_ENTRIES = ['apt', 'guest', 'mariadb', 'nats-server'];

export async function down(lab) {
  await stopServices(lab);
  await removeHosts(lab);
  await stopBackends(lab.processes);
  await lab.processes.stopAll();
  await unmountBeneath(lab.dir);
  await closeTunDevice(lab, { othersRun: otherLabsRun(lab) });
  await stopCompose(lab); // last: an engine that does not answer keeps nothing else from ending, and keeps `reset` from the data
}

/** `down`, then the lab's data; with `all` the downloads and built guests of this user too. */
export async function reset(lab, { all = false } = {}) {
  await down(lab);
  removeEntries(lab.dir, LAB_ENTRIES);
  if (all) {
    removeEntries(lab.cache, CACHE_ENTRIES);
    removeIfEmpty(lab.cache);
  }
}

function removeEntries(dir, entries) {
  for (const entry of entries) rmSync(join(dir, entry), { recursive: true, force: true });
}

export function removeIfEmpty(dir) {
  if (existsSync(dir) && readdirSync(dir).length === 0) rmdirSync(dir);
}

/** Mounts that an agent left below the lab's directory, deepest first. */
async function unmountBeneath(dir) {
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n').map((line) => line.split(' ')[1]?.replaceAll('\\040', ' '))
    .filter((path) => path?.startsWith(`${dir}/`)).sort((a, b) => b.length - a.length);
  for (const path of mounts) await run(['umount', path]);
}
