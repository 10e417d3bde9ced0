// Writes lab.json: all that a person, a script or a test needs to use the lab that is up. Readable by its owner only,
// because it holds passwords.
import { SECRET, readJson, writeJson } from './files.mjs';
import { hostIdentities } from './hosts.mjs';
import { healthPortName } from './lab.mjs';
import { SERVICES } from './layout.mjs';
import { agentName } from './services.mjs';

export function readRecord(lab) {
  return readJson(lab.paths.labFile, {});
}

/** Merges `changes` over what is recorded. */
export function updateRecord(lab, changes) {
  writeJson(lab.paths.labFile, { ...readRecord(lab), ...changes }, SECRET);
}

export function recordBackends(lab, backends) {
  updateRecord(lab, {
    dir: lab.dir, tag: lab.tag, ports: lab.ports, node: lab.node,
    nats: { url: backends.natsUrl, creds: backends.creds, authorityFile: backends.authorityFile },
    mysql: { urls: backends.mysqlUrls }, redis: { url: backends.redisUrl },
  });
}

/** What `recordBackends` recorded, in the form that services are started with. */
export function recordedBackends(lab) {
  const { nats, mysql, redis } = readRecord(lab);
  if (!nats) throw new Error(`No lab is up in ${lab.dir}: tools/lab up starts one.`);
  return { natsUrl: nats.url, creds: nats.creds, authorityFile: nats.authorityFile, mysqlUrls: mysql.urls, redisUrl: redis.url };
}

export function recordServices(lab) {
  const health = (name) => ({ healthPort: lab.ports[healthPortName(name)] });
  updateRecord(lab, {
    gateway: { url: `http://127.0.0.1:${lab.ports.http}` },
    admin: readJson(lab.paths.adminFile, null),
    services: Object.fromEntries(SERVICES.map((name) => [name, { pid: lab.processes.get(name)?.pid ?? null, ...health(name) }])),
    hosts: hostIdentities(lab).map(({ id, name }) => ({
      id, name, namespace: lab.names.hostNamespace(name), pid: lab.processes.get(agentName(name))?.pid ?? null,
      stateDir: lab.paths.host(name).state, ovsRundir: lab.paths.host(name).ovs, cgroup: lab.names.cgroup(name), ...health(name),
    })),
    uplink: { namespace: lab.names.uplinkNamespace, ovsRundir: lab.paths.uplinkSwitch },
  });
}
