// Starts one private NATS, MariaDB and Redis for a whole run of integration tests, joins the programs that tests start, and
// says in the environment where they are. Servers that the environment already names are used as they are, and never stopped.
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { startBackends } from '../../tools/lab.d/backends.mjs';
import { writeWhole } from '../../tools/lab.d/files.mjs';
import { cacheDir, REPO } from '../../tools/lab.d/layout.mjs';
import { ensureNats } from '../../tools/lab.d/packages.mjs';
import { processTable } from '../../tools/lab.d/processes.mjs';
import { openTunDevice } from '../../tools/lab.d/tun-device.mjs';

const PREFIX = '.lab-test-';
const GIVEN = ['TOK_TEST_NATS_URL', 'TOK_TEST_MYSQL_URL', 'TOK_TEST_REDIS_URL'];
const ADMIN = 'tok_admin';

export default async function setup() {
  process.env.TOK_TEST_NATS_BINARY ??= await ensureNats(cacheDir(), say);
  if (process.getuid() === 0) await openTunDevice({ cache: cacheDir(), say }); // for the agent's tests with a NIC
  await removeLeftovers();
  const dir = resolve(REPO, `${PREFIX}${process.pid}`);
  globalThis.tokTestServers = dir; // before the first start, so that a setup that fails halfway is cleaned up too
  try {
    process.env.TOK_TEST_PROGRAMS = join(dir, 'programs');
    await joinTestPrograms(process.env.TOK_TEST_PROGRAMS);
    if (GIVEN.every((name) => process.env[name])) return;
    const backends = await startBackends({ dir, writeNatsConfig, say });
    process.env.TOK_TEST_NATS_URL ??= backends.nats.url;
    process.env.TOK_TEST_REDIS_URL ??= backends.redis.url;
    process.env.TOK_TEST_MYSQL_URL ??= await adminUrl(backends.mysql);
  } catch (error) {
    await removeServers(dir);
    throw error;
  }
}

/** What tests run in processes of their own, again and again: joined, as the product is. */
async function joinTestPrograms(dir) {
  const { joinPrograms, stopJoining } = await import('../../tools/build/joined.mjs'); // not before its packages are installed
  const source = (path) => join(REPO, path);
  await joinPrograms({ agent: source('services/host-agent/src/agent.fixture.ts'), 'host-agent': source('services/host-agent/main.ts') }, join(dir, 'host-agent'), ['source']);
  await joinPrograms({ sample: source('libs/service/fixtures/sample-service.mjs'), register: source('libs/telemetry/src/register.ts') }, join(dir, 'service'), ['source']);
  await stopJoining();
}

/** Stops what runs in the directory and removes it. */
export async function removeServers(dir) {
  await processTable(join(dir, 'run'), join(dir, 'log')).stopAll();
  rmSync(dir, { recursive: true, force: true });
}

/** No accounts: what the bus does is tested apart from who may do it. */
function writeNatsConfig({ dir, port, storeDir }) {
  const configFile = join(dir, 'nats.conf');
  writeWhole(configFile, [
    `listen: "127.0.0.1:${port}"`, 'server_name: test', 'max_payload: 1048576',
    `jetstream { store_dir: ${JSON.stringify(storeDir)} }`,
  ].join('\n') + '\n');
  return { configFile };
}

/** A user who may make schemas and users. */
async function adminUrl({ port, query }) {
  const password = randomBytes(18).toString('base64url');
  await query(`CREATE OR REPLACE USER '${ADMIN}'@'127.0.0.1' IDENTIFIED BY '${password}'; GRANT ALL ON *.* TO '${ADMIN}'@'127.0.0.1' WITH GRANT OPTION;`);
  return `mysql://${ADMIN}:${password}@127.0.0.1:${port}/`;
}

/** A run that was killed leaves its servers: they are ended by who killed it, or by the next one. */
export async function removeLeftovers() {
  const dirs = readdirSync(REPO).filter((name) => name.startsWith(PREFIX) && /^\d+$/.test(name.slice(PREFIX.length)));
  for (const name of dirs) {
    if (!existsSync(`/proc/${name.slice(PREFIX.length)}`)) await removeServers(join(REPO, name));
  }
}

function say(text) {
  process.stderr.write(`integration tests: ${text}\n`);
}
