// The lab's servers as containers: writes what docker-compose.yml is given, starts the project of this lab and makes the
// schemas, as backends.mjs does with processes. A lab is one or the other for life, because its data are in one of them.
import { randomBytes } from 'node:crypto';
import { copyFileSync, chmodSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findCompose } from './docker.mjs';
import { SECRET, readJson, writeJson, writeWhole } from './files.mjs';
import { schemaSql } from './mariadb.mjs';
import { redisConfig } from './redis.mjs';
import { run } from './run.mjs';
import { firstBytes, until } from './wait.mjs';

/** An image may have to be fetched first. */
const START_MS = 900_000;
const STOP_MS = 120_000;
/** The first start of a database makes its data. */
const READY_MS = 300_000;
/** So often it is seen whether a container that is waited for has ended. */
const LOOK_MS = 2_000;
const GONE = ['exited', 'dead'];
/** Who connects through a published port comes from the container network's gateway, whose address Docker chooses. */
const ANY_HOST = '%';

/** The client inside each database's container. */
const CLIENTS = { mysql: 'mysql', mariadb: 'mariadb' };
export const DATABASES = Object.keys(CLIENTS);

const composeDir = (lab) => join(lab.dir, 'compose');
const choiceFile = (lab) => join(composeDir(lab), 'choice.json');
export const projectName = (lab) => `tokamak-${lab.tag}`;

/** The database of a lab whose servers are containers; undefined for one whose servers are processes. */
export const composeDatabase = (lab) => readJson(choiceFile(lab), {}).database;

/** The servers of this lab's project, in the order of their names in `tools/lab status`. */
export const composeServers = (lab) => ['nats', composeDatabase(lab), 'redis'];

/** Throws when the lab cannot be had as asked, before anything is begun: `database` is undefined without --compose. */
export async function assertComposePossible(lab, database) {
  const chosen = composeDatabase(lab);
  const hasProcesses = existsSync(join(lab.paths.mariadb, 'data'));
  const asked = database ?? chosen;
  if (asked === undefined) return;
  if (hasProcesses) throw new Error(`The data of the lab in ${lab.dir} are those of servers that run as processes: tools/lab reset removes them, then --compose can begin anew.`);
  if (chosen !== undefined && chosen !== asked) throw new Error(`The lab in ${lab.dir} has its data in ${chosen}, not in ${asked}: tools/lab reset removes them.`);
  await findCompose();
}

/** Starts (or finds) the containers; the same result as `startBackends`. `writeNatsConfig` is its as well. */
export async function startComposeBackends(lab, { database, writeNatsConfig, readyMs = READY_MS }) {
  const words = await findCompose();
  const dir = composeDir(lab);
  mkdirSync(dir, { recursive: true });
  chmodSync(dir, 0o700); // what is in it may be readable inside a container and nowhere else
  writeJson(choiceFile(lab), { database });
  const at = (...parts) => join(dir, ...parts);
  for (const folder of ['nats-config', 'nats-data', 'redis-config', 'database-secrets', `${database}-data`]) mkdirSync(at(folder), { recursive: true });
  const secrets = databaseSecrets(at('passwords.json'));
  writeWhole(at('database-secrets', 'root-password'), secrets.root, SECRET);
  writeWhole(at('database-secrets', 'client.cnf'), `[client]\nuser=root\npassword="${secrets.root}"\ndefault-character-set=utf8mb4\n`, SECRET);
  writeWhole(at('redis-config', 'redis.conf'), redisConfig({ bind: '* -::*', port: 6379, password: secrets.redis }));
  const { setup, changed } = await natsConfig(lab, at('nats-config', 'nats.conf'), writeNatsConfig);
  writeWhole(envFile(lab), envText(lab), SECRET);

  const project = [...words, ...projectArgs(lab)];
  const compose = (args, options) => run([...project, ...args], { timeoutMs: STOP_MS, ...options });
  await compose(['up', '--detach', ...composeServers(lab)], { timeoutMs: START_MS });
  if (changed) await compose(['restart', 'nats']); // not a reload: a server that has an account in use goes on with it as it was
  const ended = async (name) => {
    const seen = await stateOf(project, name);
    return seen === undefined || GONE.includes(seen.state) ? `its container ${seen === undefined ? 'is gone' : `has ended with ${seen.exitCode}`}.` : undefined;
  };
  const url = await untilReady(lab, compose, ended, { database, redisPassword: secrets.redis, readyMs });
  const query = (sql) => compose(['exec', '-T', database, CLIENTS[database], '--defaults-extra-file=/run/tokamak/client.cnf', '--batch', '--skip-column-names'], { input: sql });
  return { nats: { url: `nats://127.0.0.1:${lab.ports.nats}`, setup }, redis: { url }, mysql: { query, createSchemas: (names) => createSchemas(lab, query, at('passwords.json'), names) } };
}

/** Removes the containers and the project's network; the data stay. Does nothing for a lab of processes. */
export async function stopCompose(lab) {
  if (composeDatabase(lab) === undefined || !existsSync(envFile(lab))) return;
  const words = await findCompose();
  await run([...words, ...projectArgs(lab), 'down', '--remove-orphans', '--timeout', '30'], { timeoutMs: STOP_MS });
}

/** The lab's containers, as `status` shows processes; none after a `down`. */
export async function composeStatus(lab) {
  if (composeDatabase(lab) === undefined) return [];
  const words = await findCompose().catch(() => undefined);
  if (words === undefined) return composeServers(lab).map((name) => container(name, 'no engine'));
  const found = await Promise.all(composeServers(lab).map(async (name) => {
    const seen = await stateOf([...words, ...projectArgs(lab)], name);
    return seen === undefined ? [] : [container(name, seen.state, seen.pid, seen.startedAt)];
  }));
  return found.flat();
}

/** A server's container, also one that has ended; undefined when there is none. */
async function stateOf(project, name) {
  const id = (await run([...project, 'ps', '--all', '--quiet', name])).trim();
  if (id === '') return undefined;
  const [state, pid, exitCode, startedAt] = (await run(['docker', 'inspect', '--format', '{{.State.Status}} {{.State.Pid}} {{.State.ExitCode}} {{.State.StartedAt}}', id])).trim().split(' ');
  return { state, pid: Number(pid), exitCode: Number(exitCode), startedAt };
}

const container = (name, state, pid = 0, startedAt = '') => ({ name: `${name} (container)`, pid, state, ready: null, startedAt });

/** The command that shows the log of one of the containers. */
export async function composeLogs(lab, name, { follow }) {
  return [...(await findCompose()), ...projectArgs(lab), 'logs', '--tail', '200', ...(follow ? ['--follow'] : []), name];
}

const envFile = (lab) => join(composeDir(lab), 'compose.env');
const projectArgs = (lab) => [
  '--project-name', projectName(lab), '--file', join(lab.repo, 'docker-compose.yml'), '--env-file', envFile(lab),
  ...(composeDatabase(lab) === 'mariadb' ? ['--profile', 'mariadb'] : []),
];

/** What docker-compose.yml is given. Root leaves it to the images to choose a user for each server. */
export function envText(lab, { uid, gid } = { uid: process.getuid(), gid: process.getgid() }) {
  const values = {
    TOK_COMPOSE_DIR: composeDir(lab), TOK_COMPOSE_USER: `${uid}:${gid}`,
    TOK_COMPOSE_NATS_PORT: lab.ports.nats, TOK_COMPOSE_DATABASE_PORT: lab.ports.mariadb, TOK_COMPOSE_REDIS_PORT: lab.ports.redis,
  };
  return Object.entries(values).map(([name, value]) => `${name}=${value}\n`).join('');
}

function databaseSecrets(file) {
  const secrets = readJson(file, {});
  if (secrets.root && secrets.redis) return secrets;
  const made = { root: newPassword(), redis: newPassword(), ...secrets };
  writeJson(file, made, SECRET);
  return made;
}
const newPassword = () => randomBytes(18).toString('base64url');

/** The keys stay outside the container: only the configuration goes in, as a copy in a directory that is mounted. */
async function natsConfig(lab, file, writeNatsConfig) {
  const setup = await writeNatsConfig({ dir: lab.paths.natsSetup, host: '0.0.0.0', port: 4222, storeDir: '/data' });
  const before = existsSync(file) ? readFileSync(file, 'utf8') : undefined;
  const now = readFileSync(setup.configFile, 'utf8');
  if (before !== now) copyFileSync(setup.configFile, file);
  chmodSync(file, 0o600);
  return { setup, changed: before !== undefined && before !== now };
}

/** A published port is open before the server behind it is: only its first words tell, or its end. Resolves with Redis's address. */
async function untilReady(lab, compose, ended, { database, redisPassword, readyMs }) {
  const waits = {
    nats: async () => String(await firstBytes(lab.ports.nats)).startsWith('INFO '),
    redis: async () => String(await firstBytes(lab.ports.redis, { greeting: `AUTH ${redisPassword}\r\n` })).startsWith('+OK'),
    [database]: async () => (await firstBytes(lab.ports.mariadb)) !== undefined,
  };
  const probeOf = (name, isReady) => {
    let lookAt = Date.now() + LOOK_MS;
    return async () => {
      if (await isReady()) return true;
      if (Date.now() < lookAt) return false;
      const why = await ended(name);
      if (why !== undefined) throw new Error(`${name} did not come up: ${why}`);
      lookAt = Date.now() + LOOK_MS;
      return false;
    };
  };
  await Promise.all(Object.entries(waits).map(([name, isReady]) => until(probeOf(name, isReady), { what: `${name} did not come up`, withinMs: readyMs, everyMs: 100 }).catch(async (error) => {
    throw new Error(`${error.message} Last lines of its log:\n${await compose(['logs', '--tail', '15', name]).catch(() => '(none)')}`);
  })));
  return `redis://:${redisPassword}@127.0.0.1:${lab.ports.redis}`;
}

async function createSchemas(lab, query, secretsFile, names) {
  const secrets = readJson(secretsFile);
  const fresh = names.filter((name) => !secrets[`schema-${name}`]);
  for (const name of fresh) secrets[`schema-${name}`] = newPassword();
  if (fresh.length > 0) writeJson(secretsFile, secrets, SECRET);
  await query(names.map((name) => schemaSql(`tok_${name}`, secrets[`schema-${name}`], ANY_HOST)).join('\n'));
  return Object.fromEntries(names.map((name) => [name, `mysql://tok_${name}:${secrets[`schema-${name}`]}@127.0.0.1:${lab.ports.mariadb}/tok_${name}`]));
}
