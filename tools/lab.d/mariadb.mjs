// A private MariaDB with real durability in one directory: own data, own socket, own port on 127.0.0.1.
// The first data directory is copied from one that is made once per server version and kept in the cache.
import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { SECRET, closedParent, readJson, writeJson, writeWhole } from './files.mjs';
import { findCommand } from './packages.mjs';
import { run } from './run.mjs';
import { firstBytes, until } from './wait.mjs';

const SERVER_USER = 'mysql';

const SETTINGS = {
  'character-set-server': 'utf8mb4',
  'collation-server': 'utf8mb4_unicode_ci',
  'default-time-zone': '+00:00',
  'innodb-flush-log-at-trx-commit': 1,
  'innodb-buffer-pool-size': '128M',
  'innodb-log-file-size': '48M',
  'aria-pagecache-buffer-size': '8M',
  'key-buffer-size': '1M',
  'performance-schema': 'OFF',
  'max-connections': 400,
  'skip-name-resolve': 'ON',
  'skip-log-bin': '',
};

function settingsText(extra) {
  const lines = Object.entries({ ...SETTINGS, ...extra }).map(([name, value]) => (value === '' ? name : `${name}=${value}`));
  return `[mariadbd]\n${lines.join('\n')}\n`;
}

const newPassword = () => randomBytes(18).toString('base64url');

/** Root may not serve a database, so it hands over to the package's user where that user can reach the directory. */
async function serverIdentity(dir) {
  if (process.getuid() !== 0) return { name: undefined };
  if (closedParent(dir)) return { name: 'root' };
  const ids = await run(['id', SERVER_USER]).catch(() => undefined);
  if (!ids) return { name: 'root' };
  return { name: SERVER_USER, uid: Number(/uid=(\d+)/.exec(ids)[1]), gid: Number(/gid=(\d+)/.exec(ids)[1]) };
}

function give(path, identity) {
  if (identity.uid !== undefined) chownSync(path, identity.uid, identity.gid);
}

/** A cleanly closed, empty data directory of this server version. */
async function pristineData(cache, server) {
  const version = (await run([server, '--version'])).match(/Ver (\S+)/)?.[1] ?? 'unknown';
  const ready = join(cache, 'mariadb', `${version}-${SETTINGS['innodb-log-file-size']}`);
  if (existsSync(ready)) return ready;
  const aside = `${ready}.${process.pid}.new`;
  rmSync(aside, { recursive: true, force: true });
  mkdirSync(aside, { recursive: true });
  const install = findCommand('mariadb-install-db') ?? findCommand('mysql_install_db');
  await run([
    install, '--no-defaults', `--datadir=${aside}`, '--skip-test-db', '--skip-name-resolve',
    `--innodb-log-file-size=${SETTINGS['innodb-log-file-size']}`,
    ...(process.getuid() === 0 ? ['--user=root'] : []),
  ], { timeoutMs: 120_000 });
  try {
    renameSync(aside, ready);
  } catch (error) {
    if (!existsSync(ready)) throw error; // another lab was first
    rmSync(aside, { recursive: true, force: true });
  }
  return ready;
}

async function prepareData(dir, data, cache, server, identity) {
  if (existsSync(data)) return;
  const aside = join(dir, 'data.new');
  rmSync(aside, { recursive: true, force: true });
  await run(['cp', '-R', '--reflink=auto', await pristineData(cache, server), aside]);
  if (identity.uid !== undefined) await run(['chown', '-R', `${identity.uid}:${identity.gid}`, aside]);
  chmodSync(aside, 0o700);
  renameSync(aside, data);
}

/**
 * Starts (or finds) the server of `dir` in the process table; ready when it answers.
 * Returns { port, socket, createSchemas(names), query(sql) }.
 */
export async function startMariadb({ dir, port, cache, processes, name = 'mariadb' }) {
  const server = findCommand('mariadbd');
  if (!server) throw new Error('No mariadbd: install the package mariadb-server.');
  mkdirSync(dir, { recursive: true });
  chmodSync(dir, 0o755);
  const identity = await serverIdentity(dir);
  const data = join(dir, 'data');
  const runDir = join(dir, 'run');
  const socket = join(runDir, 'db.sock');
  const secretsFile = join(dir, 'passwords.json');
  const secrets = readJson(secretsFile, {});
  if (!secrets.root) writeJson(secretsFile, Object.assign(secrets, { root: newPassword() }), SECRET);
  await prepareData(dir, data, cache, server, identity);
  mkdirSync(runDir, { recursive: true });
  give(runDir, identity);
  handOver(data, identity);

  const running = processes.isAlive(name);
  const initFile = join(runDir, 'init.sql');
  if (!running) {
    writeWhole(initFile, `ALTER USER root@localhost IDENTIFIED BY '${secrets.root}';\n`, SECRET);
    give(initFile, identity);
    writeWhole(join(dir, 'server.cnf'), settingsText({
      datadir: data, socket, port, 'bind-address': '127.0.0.1', 'pid-file': join(runDir, 'db.pid'), 'init-file': initFile,
    }));
    processes.start(name, [server, `--defaults-file=${join(dir, 'server.cnf')}`, ...(identity.name ? [`--user=${identity.name}`] : [])]);
  }
  await until(() => firstBytes(port), {
    what: 'MariaDB did not come up', withinMs: 60_000, logFile: processes.logFile(name), stillRuns: () => processes.isAlive(name),
  });

  const clientFile = join(dir, 'client.cnf');
  writeWhole(clientFile, `[client]\nuser=root\npassword="${secrets.root}"\nsocket=${socket}\ndefault-character-set=utf8mb4\n`, SECRET);
  const query = (sql) => run([findCommand('mariadb'), `--defaults-file=${clientFile}`, '--batch', '--skip-column-names'], { input: sql });

  /** A database `tok_<name>` and a user of the same name for each; returns { <name>: url }. */
  async function createSchemas(names) {
    const fresh = names.filter((schema) => !secrets[schema]);
    if (fresh.length > 0) {
      for (const schema of fresh) secrets[schema] = newPassword();
      writeJson(secretsFile, secrets, SECRET);
    }
    await query(names.flatMap((schema) => comesFrom.map((host) => schemaSql(`tok_${schema}`, secrets[schema], host))).join('\n'));
    const through = `socketPath=${encodeURIComponent(socket)}`;
    return Object.fromEntries(names.map((schema) => [schema, `mysql://tok_${schema}:${secrets[schema]}@127.0.0.1:${port}/tok_${schema}?${through}`]));
  }

  return { port, socket, query, createSchemas };
}

/** Data that an earlier run owned as somebody else, such as a directory that was moved. */
function handOver(data, identity) {
  if (identity.uid !== undefined && lstatSync(data).uid !== identity.uid) {
    throw new Error(`${data} belongs to another user than ${identity.name}: chown -R ${identity.name} it, or remove it.`);
  }
}

/** Services come through the socket, and whoever looks at their tables by TCP too. */
const comesFrom = ['localhost', '127.0.0.1'];

/** A database and its one user, who comes from `host`; the same on MySQL and MariaDB. */
export function schemaSql(schema, password, host) {
  return [
    `CREATE DATABASE IF NOT EXISTS \`${schema}\` CHARACTER SET utf8mb4;`,
    `CREATE USER IF NOT EXISTS '${schema}'@'${host}' IDENTIFIED BY '${password}';`,
    `ALTER USER '${schema}'@'${host}' IDENTIFIED BY '${password}';`,
    `GRANT ALL ON \`${schema}\`.* TO '${schema}'@'${host}';`,
  ].join('\n');
}
