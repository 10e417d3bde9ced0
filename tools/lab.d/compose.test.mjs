// The lab with containers, as far as that goes without a Docker engine: a program named docker stands in for it, notes what
// it is asked, and this test listens on the published ports. What the real engine does with it was tried by hand (ADR 27).
import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, afterEach, beforeEach, test } from 'node:test';
import { parse } from 'yaml';
import { assertComposePossible, composeDatabase, composeLogs, composeStatus, envText, projectName, startComposeBackends, stopCompose } from './compose.mjs';
import { REPO, labPaths, labTag } from './layout.mjs';
import { findCommand } from './packages.mjs';
import { run } from './run.mjs';

const scratch = mkdtempSync(join(tmpdir(), 'tok-compose-'));
const asked = join(scratch, 'asked');
const pathBefore = process.env.PATH;
let count = 0;
let listeners = [];

/** $FAKE_DOCKER names what it cannot do. Standard input is noted too: the SQL for the database. */
const FAKE = `#!/bin/sh
echo "$*" >> "${asked}"
case "$FAKE_DOCKER:$*" in
  no-engine:*) echo "Cannot connect to the Docker daemon." >&2; exit 1;;
  no-compose:compose*) exit 1;;
  *:*" exec "*) cat >> "${asked}";;
  *:*" ps --all --quiet redis") ;;
  *:*" ps --all --quiet "*) echo c0ffee;;
  ended:inspect*) echo "exited 0 3 2026-01-02T03:04:05.6Z";;
  *:inspect*) echo "running 4711 0 2026-01-02T03:04:05.6Z";;
  *:*" logs "*) echo "the server said no";;
esac
`;

beforeEach(() => {
  writeFileSync(asked, '');
  const bin = join(scratch, 'bin');
  mkdirSync(bin, { recursive: true });
  writeFileSync(join(bin, 'docker'), FAKE);
  chmodSync(join(bin, 'docker'), 0o755);
  process.env.PATH = `${bin}${delimiter}${pathBefore}`;
  process.env.FAKE_DOCKER = '';
});
afterEach(async () => {
  await Promise.all(listeners.map((server) => new Promise((resolve) => server.close(resolve))));
  listeners = [];
});
after(() => {
  process.env.PATH = pathBefore;
  delete process.env.FAKE_DOCKER;
  rmSync(scratch, { recursive: true, force: true });
});

const commands = () => readFileSync(asked, 'utf8');

/** Greets as the server behind a published port does. */
async function listen(words) {
  const server = createServer((socket) => { socket.on('error', () => {}).resume().end(words); });
  listeners.push(server);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return server.address().port;
}

async function newLab() {
  const dir = join(scratch, `lab-${(count += 1)}`);
  mkdirSync(dir);
  return { dir, tag: labTag(dir), repo: REPO, paths: labPaths(dir), ports: { nats: await listen('INFO {}\r\n'), mariadb: await listen('J8.4.0'), redis: await listen('+OK\r\n') } };
}

/** The text stands for the accounts and permissions that the bus library writes. */
const natsConfigOf = (text) => ({ dir, host, port, storeDir }) => {
  mkdirSync(dir, { recursive: true });
  const configFile = join(dir, 'nats.conf');
  writeFileSync(configFile, `${text} ${host}:${port} ${storeDir}`);
  return Promise.resolve({ configFile, creds: { auth: 'auth.creds' } });
};
const started = (lab, database = 'mysql', text = 'accounts', readyMs = 30_000) => startComposeBackends(lab, { database, writeNatsConfig: natsConfigOf(text), readyMs });

test('without an engine it says so before anything is begun', async () => {
  process.env.FAKE_DOCKER = 'no-engine';
  const lab = await newLab();
  await assert.rejects(assertComposePossible(lab, 'mysql'), /No Docker engine answers here \(Cannot connect to the Docker daemon\.\).*without --compose/);
  assert.ok(!existsSync(join(lab.dir, 'compose')));
  await assertComposePossible(lab, undefined);
});

test('without any compose it says so, and takes the older program where there is one', async () => {
  process.env.FAKE_DOCKER = 'no-compose';
  process.env.PATH = join(scratch, 'bin') + delimiter + '/bin';
  const older = join(scratch, 'bin', 'docker-compose');
  writeFileSync(older, '#!/bin/sh\nexit 1\n');
  chmodSync(older, 0o755);
  const lab = await newLab();
  await assert.rejects(assertComposePossible(lab, 'mysql'), /Docker has no compose/);
  writeFileSync(older, FAKE);
  await assertComposePossible(lab, 'mysql');
  rmSync(older);
});

test('up starts this lab’s project, gives each server its configuration, and makes a schema and a user for each service', async () => {
  const lab = await newLab();
  const { nats, redis, mysql } = await started(lab);
  assert.equal(nats.url, `nats://127.0.0.1:${lab.ports.nats}`);
  assert.deepEqual(nats.setup.creds, { auth: 'auth.creds' });
  const at = (...parts) => join(lab.dir, 'compose', ...parts);
  assert.equal(readFileSync(at('nats-config', 'nats.conf'), 'utf8'), 'accounts 0.0.0.0:4222 /data');
  assert.match(commands(), new RegExp(`--project-name ${projectName(lab)} --file ${REPO}/docker-compose.yml --env-file ${at('compose.env')} up --detach nats mysql redis\n`));
  const config = readFileSync(at('redis-config', 'redis.conf'), 'utf8');
  assert.match(config, /maxmemory-policy noeviction/);
  assert.equal(redis.url, `redis://:${/requirepass (\S+)/.exec(config)[1]}@127.0.0.1:${lab.ports.redis}`);

  const urls = await mysql.createSchemas(['auth', 'compute']);
  assert.match(urls.compute, new RegExp(`^mysql://tok_compute:[\\w-]+@127\\.0\\.0\\.1:${lab.ports.mariadb}/tok_compute$`));
  assert.match(commands(), /exec -T mysql mysql --defaults-extra-file=\/run\/tokamak\/client\.cnf/);
  assert.match(commands(), /CREATE USER IF NOT EXISTS 'tok_compute'@'%'/);
  assert.deepEqual(await mysql.createSchemas(['compute']), { compute: urls.compute }, 'passwords are kept');
  assert.equal((await started(lab)).redis.url, redis.url);
});

test('what is in the directory is nobody’s on this machine but the lab’s owner’s', async () => {
  const lab = await newLab();
  await started(lab);
  assert.equal(statSync(join(lab.dir, 'compose')).mode & 0o777, 0o700);
  assert.equal(statSync(join(lab.dir, 'compose', 'passwords.json')).mode & 0o777, 0o600);
  assert.ok(!existsSync(join(lab.dir, 'compose', 'nats-config', 'keys.json')), 'the keys of the bus stay outside the container');
});

test('a changed configuration reaches the server that runs, an unchanged one does not disturb it', async () => {
  const lab = await newLab();
  await started(lab);
  await started(lab);
  assert.doesNotMatch(commands(), /restart/);
  await started(lab, 'mysql', 'accounts with one more');
  assert.match(commands(), /restart nats/);
});

test('MariaDB is a profile, asked with its own client', async () => {
  const lab = await newLab();
  const { mysql } = await started(lab, 'mariadb');
  await mysql.createSchemas(['auth']);
  assert.match(commands(), /--profile mariadb up --detach nats mariadb redis\n/);
  assert.match(commands(), /exec -T mariadb mariadb /);
});

test('a lab keeps what it began with: containers and processes, MySQL and MariaDB do not mix', async () => {
  const lab = await newLab();
  await started(lab);
  assert.equal(composeDatabase(lab), 'mysql');
  await assertComposePossible(lab, undefined);
  await assert.rejects(assertComposePossible(lab, 'mariadb'), /has its data in mysql, not in mariadb: tools\/lab reset/);
  const other = await newLab();
  mkdirSync(join(other.paths.mariadb, 'data'), { recursive: true });
  await assert.rejects(assertComposePossible(other, 'mysql'), /servers that run as processes: tools\/lab reset/);
});

test('a server that does not come up is shown with the end of its log', async () => {
  const lab = await newLab();
  lab.ports.nats = await listen('nothing of the kind');
  await assert.rejects(started(lab, 'mysql', 'accounts', 50), /nats did not come up: not within \d+ ms.*\nthe server said no/s);
});

test('a server whose container ends is not waited for any longer', async () => {
  const lab = await newLab();
  lab.ports.nats = await listen('nothing of the kind');
  process.env.FAKE_DOCKER = 'ended';
  await assert.rejects(started(lab), /nats did not come up: its container has ended with 3\..*\nthe server said no/s);
});

test('status, logs and down ask the lab’s own project; an engine that is away is told and stops the reset', async () => {
  const lab = await newLab();
  assert.deepEqual(await composeStatus(lab), []);
  await stopCompose(lab);
  assert.equal(commands(), '', 'a lab of processes asks Docker nothing');
  await started(lab);
  assert.deepEqual((await composeStatus(lab)).map(({ name, pid, state }) => `${name} ${pid} ${state}`), ['nats (container) 4711 running', 'mysql (container) 4711 running']);
  assert.deepEqual((await composeLogs(lab, 'nats', { follow: true })).slice(-5), ['logs', '--tail', '200', '--follow', 'nats']);
  await stopCompose(lab);
  assert.match(commands(), new RegExp(`--project-name ${projectName(lab)} .* down --remove-orphans`));
  process.env.FAKE_DOCKER = 'no-engine';
  assert.deepEqual((await composeStatus(lab)).map(({ state }) => state), ['no engine', 'no engine', 'no engine']);
  await assert.rejects(stopCompose(lab), /No Docker engine/);
});

test('docker-compose.yml publishes on loopback alone and demands of the databases what the lab’s own MariaDB has', () => {
  const { services } = parse(readFileSync(join(REPO, 'docker-compose.yml'), 'utf8'));
  assert.deepEqual(Object.keys(services), ['nats', 'mysql', 'mariadb', 'redis']);
  assert.deepEqual(Object.entries(services).filter(([, { profiles }]) => profiles).map(([name]) => name), ['mariadb']);
  for (const { ports, image } of Object.values(services)) {
    assert.ok(ports.every((port) => port.startsWith('127.0.0.1:')));
    assert.match(image, /^[a-z]+:\d+\.\d+$/, 'no registry’s name');
  }
  for (const { command } of [services.mysql, services.mariadb]) {
    for (const option of ['--innodb-flush-log-at-trx-commit=1', '--max-connections=400', '--default-time-zone=+00:00', '--collation-server=utf8mb4_unicode_ci']) assert.ok(command.includes(option));
  }
});

test('every value that docker-compose.yml takes is given, and compose takes the file', async (t) => {
  const lab = await newLab();
  const text = readFileSync(join(REPO, 'docker-compose.yml'), 'utf8');
  const wanted = new Set([...text.matchAll(/\$\{(\w+)/g)].map(([, name]) => name));
  const given = new Set(envText(lab).match(/^\w+/gm));
  assert.deepEqual([...given].sort(), [...wanted].sort());
  process.env.PATH = pathBefore;
  const compose = findCommand('docker-compose');
  if (!compose) return t.diagnostic('no docker-compose here: the file was read as YAML alone');
  writeFileSync(join(lab.dir, 'env'), envText(lab));
  const seen = parse(await run([compose, '--project-name', 'x', '--file', join(REPO, 'docker-compose.yml'), '--env-file', join(lab.dir, 'env'), '--profile', 'mariadb', 'config']));
  assert.deepEqual(Object.keys(seen.services).sort(), ['mariadb', 'mysql', 'nats', 'redis']);
  assert.ok(JSON.stringify(seen.services.nats).includes(String(lab.ports.nats)));
});
