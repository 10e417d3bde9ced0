// The three servers that the services stand on, for the lab and for test runs: each function takes a directory,
// starts what is not running, waits until it answers, and returns how to connect.
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheDir } from './layout.mjs';
import { startMariadb } from './mariadb.mjs';
import { startNats } from './nats.mjs';
import { ensureNats, ensurePackages } from './packages.mjs';
import { recordedPorts } from './ports.mjs';
import { processTable } from './processes.mjs';
import { startRedis } from './redis.mjs';

export { startNats } from './nats.mjs';
export { startMariadb } from './mariadb.mjs';
export { startRedis } from './redis.mjs';

export const BACKEND_PORTS = ['nats', 'mariadb', 'redis'];

/**
 * Starts MariaDB, Redis and NATS beneath `dir` at the same time.
 * `writeNatsConfig({ dir, port, storeDir })` writes the server's configuration and returns { configFile, … }.
 * Returns { ports, mysql, redis, nats: { url, setup }, processes, stop }.
 */
export async function startBackends({ dir, writeNatsConfig, cache = cacheDir(), ports, processes, say = () => {} }) {
  mkdirSync(dir, { recursive: true });
  await ensurePackages(['backends'], say);
  const table = processes ?? processTable(join(dir, 'run'), join(dir, 'log'));
  const at = ports ?? (await recordedPorts(join(dir, 'ports.json'), BACKEND_PORTS, process.pid * 7));
  const [mysql, redis, nats] = await Promise.all([
    startMariadb({ dir: join(dir, 'mariadb'), port: at.mariadb, cache, processes: table }),
    startRedis({ dir: join(dir, 'redis'), port: at.redis, processes: table }),
    startNatsWith({ dir, port: at.nats, cache, processes: table, writeNatsConfig, say }),
  ]);
  return { ports: at, mysql, redis, nats, processes: table, stop: () => stopBackends(table) };
}

async function startNatsWith({ dir, port, cache, processes, writeNatsConfig, say }) {
  const binary = await ensureNats(cache, say);
  const before = lastConfig(processes);
  const setup = await writeNatsConfig({ dir: join(dir, 'nats'), port, storeDir: join(dir, 'nats', 'store') });
  // Not a reload: a server that has an account in use goes on with it as it was.
  if (before !== undefined && before !== readFileSync(setup.configFile, 'utf8')) await processes.stopTogether(['nats'], { waitMs: 30_000 });
  return { ...(await startNats({ binary, configFile: setup.configFile, port, processes })), binary, setup };
}

/** The configuration that a running server has read, as far as its file tells. */
function lastConfig(processes) {
  if (!processes.isAlive('nats')) return undefined;
  const file = processes.get('nats').command.at(-1);
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}

export async function stopBackends(processes) {
  await processes.stopTogether(['redis', 'nats', 'mariadb'], { waitMs: 30_000 });
}
