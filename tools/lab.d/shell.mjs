// `tools/lab logs`, `shell` and `ping`: hands the terminal to tail, a shell or ping in the lab's surroundings.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { composeDatabase, composeLogs, composeServers } from './compose.mjs';
import { hostIdentities } from './hosts.mjs';
import { inside } from './namespaces.mjs';
import { ovsEnv } from './ovs.mjs';
import { readRecord } from './record.mjs';

/** Runs with this terminal; resolves with the exit code. */
function attend(argv, env = process.env) {
  return new Promise((resolve, reject) => {
    const child = spawn(argv[0], argv.slice(1), { env, stdio: 'inherit' });
    process.on('SIGINT', () => {}); // meant for the child
    child.on('error', reject).on('close', (code) => resolve(code ?? 1));
  });
}

export async function showLogs(lab, name, { follow = false } = {}) {
  if (name && composeDatabase(lab) !== undefined && composeServers(lab).includes(name)) return attend(await composeLogs(lab, name, { follow }));
  const all = existsSync(lab.paths.log) ? readdirSync(lab.paths.log).filter((file) => file.endsWith('.log')) : [];
  const wanted = name ? all.filter((file) => file === `${name}.log`) : all;
  if (wanted.length === 0) {
    throw new Error(name ? `No log of ${name}. There are: ${all.map((file) => file.slice(0, -4)).join(' ') || 'none'}.` : 'No logs yet: tools/lab up makes them.');
  }
  return attend(['tail', '-n', name ? '200' : '20', ...(follow ? ['-F'] : []), ...wanted.map((file) => join(lab.paths.log, file))]);
}

/** The platform's commands in PATH, and where its doors are. */
export function shellEnv(lab) {
  const { gateway, nats } = readRecord(lab);
  const path = [dirname(lab.node), join(lab.repo, 'node_modules/.bin'), join(lab.repo, 'tools/tokctl'), join(lab.repo, 'tools'), process.env.PATH].join(delimiter);
  return { ...process.env, PATH: path, TOK_LAB_DIR: lab.dir, ...(gateway ? { TOK_URL: gateway.url } : {}), ...(nats ? { NATS_URL: nats.url } : {}) };
}

/** A shell in these surroundings; with `host` (or `uplink`) inside that namespace and its switch. */
export function openShell(lab, host) {
  const env = { ...shellEnv(lab), PS1: `(lab ${host ?? lab.tag}) \\w \\$ ` };
  const shell = ['bash', '--norc', '-i'];
  if (!host) return attend(shell, env);
  if (host === 'uplink') return attend(inside(lab.names.uplinkNamespace, shell), { ...env, ...ovsEnv(lab.paths.uplinkSwitch) });
  if (!hostIdentities(lab).some(({ name }) => name === host)) throw new Error(`No host ${host}: there are ${hostIdentities(lab).map(({ name }) => name).join(', ')} and uplink.`);
  return attend(inside(lab.names.hostNamespace(host), shell), { ...env, ...ovsEnv(lab.paths.host(host).ovs) });
}

export function ping(lab, address) {
  if (!address) throw new Error('Which address? tools/lab ping ADDRESS');
  return attend(inside(lab.names.uplinkNamespace, ['ping', '-c', '4', address]));
}
