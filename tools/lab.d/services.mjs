// Runs the platform's services and one host agent per simulated server as plain processes, and waits until each
// says that it can work. The environment given here is the whole interface between the lab and a service.
import { existsSync, mkdirSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { hostIdentities } from './hosts.mjs';
import { healthPortName } from './lab.mjs';
import { SERVICES } from './layout.mjs';
import { inside } from './namespaces.mjs';
import { ovsEnv } from './ovs.mjs';
import { lastLines } from './processes.mjs';
import { run } from './run.mjs';

const VM_UID_RANGE = '200000-265535';
const READY_WITHIN_MS = 60_000;

export const agentName = (host) => `host-agent-${host}`;

/** `backends` is { mysqlUrls, redisUrl, natsUrl, creds, authorityFile }; `creds` maps a service or host id to its file. */
function commonEnv(lab, backends, { service, credsOf, health }) {
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TOK_')));
  const creds = backends.creds[credsOf];
  if (!creds) throw new Error(`No NATS credentials for ${credsOf}: the bus setup did not make them.`);
  return {
    ...inherited,
    TOK_SERVICE: service,
    TOK_NATS_URL: backends.natsUrl,
    TOK_NATS_CREDS: creds,
    TOK_LOG_LEVEL: process.env.TOK_LOG_LEVEL ?? 'info',
    ...(process.env.TOK_TRACE_FILE ? { TOK_TRACE_FILE: process.env.TOK_TRACE_FILE } : {}),
    TOK_HEALTH_PORT: String(lab.ports[healthPortName(health)]),
    NODE_ENV: 'production',
    // What Node made of the programs' files, for the next start.
    NODE_COMPILE_CACHE: join(lab.repo, 'dist/run/cache'),
    // The kill matrix holds tasks at their steps; only a process that says it is a test's does that.
    ...(process.env.TOK_TEST_HOLD ? { TOK_TEST_HOLD: process.env.TOK_TEST_HOLD, NODE_ENV: 'test' } : {}),
  };
}

/** A lab's receivers of webhooks run beside it. */
const WEBHOOK_ALLOW = '127.0.0.0/8,10.0.0.0/8';

/** What one service gets beyond the rest. */
const OWN_ENV = {
  auth: ({ paths }, { authorityFile }) => ({ TOK_ADMIN_PASSWORD_FILE: paths.adminFile, TOK_DATA_DIR: join(paths.data, 'auth'), TOK_BUS_AUTHORITY_FILE: authorityFile }),
  monitoring: ({ paths }) => ({ TOK_DATA_DIR: join(paths.data, 'monitoring'), TOK_WEBHOOK_ALLOW: WEBHOOK_ALLOW }),
  gateway: ({ ports }) => ({ TOK_HTTP_HOST: '127.0.0.1', TOK_HTTP_PORT: String(ports.http), ...(process.env.TOK_HTTP_REQUESTS_PER_SECOND ? { TOK_HTTP_REQUESTS_PER_SECOND: process.env.TOK_HTTP_REQUESTS_PER_SECOND } : {}) }),
};

export function serviceEnv(lab, backends, service) {
  return {
    ...commonEnv(lab, backends, { service, credsOf: service, health: service }),
    TOK_MYSQL_URL: backends.mysqlUrls[service],
    TOK_REDIS_URL: backends.redisUrl,
    ...OWN_ENV[service]?.(lab, backends),
  };
}

export function agentEnv(lab, backends, host) {
  const { state, ovs } = lab.paths.host(host.name);
  return {
    ...commonEnv(lab, backends, { service: 'host-agent', credsOf: host.id, health: host.name }),
    ...ovsEnv(ovs),
    TOK_HOST_ID: host.id,
    TOK_HOST_NAME: host.name,
    TOK_HOST_DIR: state,
    TOK_OVS_RUNDIR: ovs,
    TOK_UPLINKS: JSON.stringify({ uplink0: 'uplink0' }),
    TOK_CGROUP_NAME: lab.names.cgroup(host.name),
    TOK_VM_UID_RANGE: VM_UID_RANGE,
  };
}

function program(lab, name) {
  const built = join(lab.repo, 'dist/run', name === 'host-agent' ? name : 'services');
  const main = join(built, `${name}.js`);
  if (!existsSync(main)) throw new Error(`${main} is missing: run npm run build.`);
  return [lab.node, '--import', join(built, 'register.js'), main];
}

export function startService(lab, backends, service) {
  lab.processes.start(service, program(lab, service), { cwd: lab.dir, env: serviceEnv(lab, backends, service) });
}

/** `more` = environment beside what an agent of this lab has. */
export function startAgent(lab, backends, host, more = {}) {
  const argv = inside(lab.names.hostNamespace(host.name), program(lab, 'host-agent'));
  lab.processes.start(agentName(host.name), argv, { cwd: lab.dir, env: { ...agentEnv(lab, backends, host), ...more }, note: { hostId: host.id } });
}

/** Starts all services and agents that do not run, side by side, and waits until every one is ready. */
export async function startServices(lab, backends) {
  for (const dir of [join(lab.paths.data, 'auth')]) mkdirSync(dir, { recursive: true });
  for (const service of SERVICES) startService(lab, backends, service);
  for (const host of hostIdentities(lab)) startAgent(lab, backends, host);
  await waitReady(lab);
}

/** Every process with a health port: { name, ready() }. */
export function healthProbes(lab) {
  return [
    ...SERVICES.map((name) => ({ name, ready: () => answersReady(lab.ports[healthPortName(name)]) })),
    ...hostIdentities(lab).map(({ name }) => ({
      name: agentName(name),
      ready: () => answersReadyInside(lab.names.hostNamespace(name), lab.ports[healthPortName(name)]),
    })),
  ];
}

/** Waits for all; tells each one's time; an error shows the log of the first that is not ready. */
export async function waitReady(lab, { withinMs = READY_WITHIN_MS } = {}) {
  const started = Date.now();
  const times = await Promise.all(healthProbes(lab).map(async ({ name, ready }) => {
    while (!(await ready())) {
      const ended = !lab.processes.isAlive(name);
      if (ended || Date.now() - started > withinMs) {
        const why = ended ? 'ended' : `is not ready after ${withinMs / 1000} s`;
        const log = lab.processes.logFile(name);
        throw new Error(`${name} ${why}. Last lines of ${log}:\n${lastLines(log)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
    return [name, Date.now() - started];
  }));
  lab.say(`ready: ${times.map(([name, ms]) => `${name} ${(ms / 1000).toFixed(1)} s`).join(', ')}`);
  return Object.fromEntries(times);
}

function answersReady(port) {
  return new Promise((resolve) => {
    const request = get({ host: '127.0.0.1', port, path: '/readyz', agent: false, timeout: 3_000 }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    request.on('timeout', () => request.destroy());
    request.on('error', () => resolve(false));
  });
}

/** The same question asked from inside a host's namespace, where its agent's loopback is. */
async function answersReadyInside(namespace, port) {
  const ask = `exec 3<>/dev/tcp/127.0.0.1/${port} && printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3 && head -n 1 <&3`;
  const reply = await run(inside(namespace, ['bash', '-c', ask]), { timeoutMs: 3_000 }).catch(() => '');
  return / 200 /.test(reply);
}

/** Ends services and agents. Guests go on: they are not the agents' children in any sense that matters. */
export async function stopServices(lab) {
  const names = [...SERVICES, ...hostIdentities(lab).map(({ name }) => agentName(name))];
  await lab.processes.stopTogether(names);
}
